"""Image and mask files as they are stored, where training would refuse some of them or turn them."""

import struct
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from segtrain.errors import DataError
from segtrain.images.bands import fits_pillow, is_tiff, read_tiff


class Picture(NamedTuple):
    """A file, decoded and otherwise untouched.

    `pixels` are HW or HWC of any type; a palette picture gives its indices, HW, and `palette`, (n, 3) uint8 RGB, their
    colours. `orientation` is that of EXIF, 1..8, and not yet applied; that of a TIFF is. `nodata` is the value that a
    TIFF notes for pixels that hold none.
    """

    pixels: NDArray
    file_type: str
    orientation: int = 1
    palette: NDArray[np.uint8] | None = None
    nodata: float | None = None


def read_picture(path: str) -> Picture:
    """Decode a file completely. Raises DataError for one that is missing, no picture, or truncated."""
    try:
        if path.lower().endswith(".npy"):
            return _load_array(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large sizes and odd tags; what matters raises
            return _decode(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not an image of a known type; is the file complete?") from error
    except (OSError, ValueError, SyntaxError, RuntimeError, LookupError, struct.error, EOFError) as error:
        # Pillow, tifffile and NumPy raise any of these for broken files.
        raise DataError(f"{path}: cannot be read as an image: {_one_line(error)}; is the file complete?") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _decode(path: str) -> Picture:
    try:
        picture = Image.open(path)
    except UnidentifiedImageError:
        if not is_tiff(path):
            raise
        return _decode_tiff(path)
    with picture:
        if picture.format == "TIFF" and not fits_pillow(picture.tag_v2):
            return _decode_tiff(path)
        if picture.format == "PNG" and picture.mode in ("RGB", "RGBA") and ";16" in str(picture.tile[0].args):
            import imagecodecs  # Pillow keeps the high byte alone

            return Picture(imagecodecs.png_decode(Path(path).read_bytes()), "PNG", _orientation(picture))
        picture.load()
        return _loaded(picture)


def _loaded(picture: Image.Image) -> Picture:
    file_type, mode, palette = picture.format or "", picture.mode, None
    orientation = 1 if file_type == "TIFF" else _orientation(picture)  # Pillow turns a TIFF when it loads it
    if mode == "P":
        palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    elif mode == "1":
        return Picture(np.asarray(picture.convert("L")) // 255, file_type, orientation)
    elif mode not in ("L", "RGB") and not mode.startswith(("I", "F")) and (mode, file_type) != ("RGBA", "TIFF"):
        picture.info.pop("transparency", None)
        picture = picture.convert("RGB")
    pixels = np.asarray(picture)
    return Picture(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), file_type, orientation, palette)


def _orientation(picture: Image.Image) -> int:
    # Not picture.getexif(), which decodes all of a PNG for it.
    found = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def _decode_tiff(path: str) -> Picture:
    bands = read_tiff(path)
    pixels = bands.pixels[..., 0] if bands.pixels.shape[2] == 1 else bands.pixels
    return Picture(pixels, "TIFF", nodata=bands.nodata)


def _load_array(path: str) -> Picture:
    pixels = np.load(path, allow_pickle=False)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or pixels.dtype.kind not in "biuf":
        raise DataError(f"{path}: expected HW or HWC numbers, not {pixels.dtype} of {pixels.shape}")
    return Picture(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, "NPY")
