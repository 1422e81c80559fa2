"""Image files: the one opener of pictures, TIFFs and arrays, with errors that name the file."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, features

from segtrain.errors import DataError
from segtrain.files import read_content, readable, require_regular, split_window
from segtrain.images.bands import (
    GDAL_NODATA,
    ON_ITS_SIDE,
    Bands,
    find_nodata,
    fits_pillow,
    hide_values,
    holds_numbers,
    is_tiff,
    mask_in_alpha,
    mask_of_bands,
    one_plane,
    open_source,
    parse_nodata,
    read_tiff,
    require_image,
    tiff_orientation,
    tiff_size,
    to_image,
    upright,
)

# Pillow knows more, and runs programs for some of them.
TYPES = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000", *(["AVIF"] if features.check("avif") else []))
PAGED_SUFFIXES = frozenset({".gif", ".png", ".webp", ".tif", ".tiff"})

# Of large sizes and odd tags; what matters raises. For the whole process: catch_warnings is for one thread, and of two
# that overlap one would restore what the other has set.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Picture(NamedTuple):
    """A file, decoded and otherwise untouched.

    `pixels` are HW or HWC of any type; a palette picture gives its indices, HW, and `palette`, (n, 3) uint8 RGB, their
    colors. `orientation` is that of EXIF, 1..8, and not yet applied; that of a TIFF is. `nodata` is the value that a
    TIFF declares for pixels that hold no data. `band` is the alpha channel, counted from 1, where the mask is in that.
    """

    pixels: NDArray
    file_type: str
    orientation: int = 1
    palette: NDArray[np.uint8] | None = None
    nodata: float | None = None
    band: int | None = None


@contextmanager
def _readable_errors(path: str, kind: str, hint: str = "") -> Iterator[None]:
    """Whatever goes wrong with a file inside the block as DataError; `kind` is what it is read as."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not an image of a supported type; is the file complete?") from error
    except Image.DecompressionBombError as error:
        advice = "save it as a tiled TIFF, which predict.py reads in rows and training reads in windows with data.tile"
        raise DataError(f"{path}: {str(error).rstrip('.')}; {advice}") from error
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever Pillow, tifffile, its codecs and NumPy raise for a broken file
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as {kind}: {text}{hint}") from error


def _in_windows(read: Callable) -> Callable:
    """A function of a path that also takes the path of a window (see segtrain.files)."""

    @wraps(read)
    def read_part(path: str | Path, *arguments: Any, **options: Any) -> Any:
        if split_window(str(path))[1] is None:
            return read(path, *arguments, **options)
        from segtrain.images.windows import read_window

        return read_window(read, str(path), *arguments, **options)

    return read_part


@contextmanager
def _opened(path: str) -> Iterator[Image.Image | None]:
    """A file whose header is read; None for a TIFF that Pillow does not know. Whatever goes wrong with it inside the
    block is a DataError."""
    require_regular(path)
    with _readable_errors(path, "an image", "; is the file complete?"):
        try:
            picture = Image.open(open_source(path), formats=TYPES)
        except UnidentifiedImageError:
            if not is_tiff(path):
                raise
            yield None
            return
        with picture:
            yield picture


def read_orientation(path: str) -> int:
    """The orientation 1..8 of EXIF or TIFF that read_image applies. Raises DataError."""
    with _opened(path) as picture:
        return tiff_orientation(path) if picture is None or picture.format == "TIFF" else _orientation(picture)


def _orientation(picture: Image.Image) -> int:
    # Not picture.getexif(), which decodes all of a PNG for it. Pillow turns a TIFF itself when it loads it.
    found = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def _deep_bands(
    picture: Image.Image | None, path: str, *, all_bands: bool = False, as_stored: bool = False, as_mask: bool = False
) -> Bands | None:
    """The pixels that Pillow cannot give; None where it can, and then the picture is loaded. The orientation
    of a PNG is applied unless it is wanted as it is stored."""
    if picture is None:
        return read_tiff(path)
    if picture.format == "TIFF":
        tags = picture.tag_v2
        if all_bands or not fits_pillow(tags) or (as_mask and holds_numbers(tags)):
            return read_tiff(path)
    if picture.format == "PNG" and picture.mode in ("RGB", "RGBA") and ";16" in str(picture.tile[0].args):
        pixels = imagecodecs.png_decode(read_content(path))  # Pillow keeps the high byte alone
        orientation = 1 if as_stored else _orientation(picture)
        return Bands(upright(pixels, orientation), 3 if pixels.shape[2] > 2 else 1)
    try:
        picture.load()
    except (OSError, ValueError):
        if picture.format != "TIFF":
            raise
        return read_tiff(path)  # a compression that this build of Pillow lacks, or a broken file: it says which
    picture.info.pop("transparency", None)  # it would go in the conversion to RGB anyway, with a warning
    return None


def _convert(picture: Image.Image, mode: str, path: str) -> Image.Image:
    try:
        return picture.convert(mode)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as {mode}: {error}; convert it to an RGB PNG") from error


def _load_array(path: str, mmap_mode: str | None = None) -> np.ndarray:
    whole, window = split_window(path)
    require_regular(whole)
    with _readable_errors(path, "a NumPy array"):
        source = readable(whole)
        mmap_mode = mmap_mode if window is None else "r"
        array = np.load(source, mmap_mode=mmap_mode if source is whole else None, allow_pickle=False)
        return array if window is None else np.array(array[window.rows, window.columns])


def _is_array(path: str) -> bool:
    return split_window(path)[0].lower().endswith(".npy")


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width, in pixels, that read_image gives, from the header of the file alone.

    Raises DataError for a file that is not an image.
    """
    path, window = split_window(str(path))
    if window is not None:
        return window.height, window.width
    if _is_array(path):
        height, width = require_image(_load_array(path, mmap_mode="r"), path).shape[:2]
        return height, width
    require_regular(path)
    with _readable_errors(path, "an image", "; is the file complete?"):
        if is_tiff(path):
            return tiff_size(path)
    with _opened(path) as picture:
        width, height = picture.size
        return (width, height) if _orientation(picture) in ON_ITS_SIDE else (height, width)


def read_image(
    path: str | Path, *, channels: int = 3, scale: float | None = None, bands: Sequence[int] | None = None
) -> np.ndarray:
    """An image in HWC with `channels` channels: uint8, 0..255, or with `scale` float32 in units of white.

    Channels: 1 gives gray and 3 gives RGB of any picture, other numbers must be in the file. `bands` picks bands of
    the file, counted from 1 as GDAL counts, in that order. `scale` is the raw value that means white: with it integers
    and floats of any size are read and divided by it, which is 0..1 where no value is negative or past white; what is
    not finite and what the file itself declares to be no data becomes 0. Without it more than 8 bits are refused.

    An EXIF or TIFF orientation is applied. Raises DataError for a file that is broken or has other channels.
    """
    return read_with_nodata(path, channels=channels, scale=scale, bands=bands)[0]


def read_with_nodata(
    path: str | Path, *, channels: int = 3, scale: float | None = None, bands: Sequence[int] | None = None
) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
    """An image as read_image gives it, and where it has no data, bool HW, by its own account (see find_nodata); None
    where it has data everywhere."""
    path = str(path)
    raw = _read_bands(path, channels=channels, bands=bands)
    image = to_image(raw, path, channels=channels, scale=scale, bands=bands)
    return image, find_nodata(raw, channels=channels, bands=bands)


@_in_windows
def _read_bands(path: str, *, channels: int, bands: Sequence[int] | None) -> Bands:
    if _is_array(path):
        return Bands(_load_array(path))
    all_bands = bands is not None or channels not in (1, 3)
    with _opened(path) as picture:
        if channels == 3 and not all_bands and (pixels := _decode_png(picture, path)) is not None:
            return Bands(upright(pixels, _orientation(picture)), 3)
        deep = _deep_bands(picture, path, all_bands=all_bands)
        if deep is not None:
            return deep
        found = bands_of(picture, path, channels=channels, all_bands=all_bands)
        if picture.format != "TIFF" or picture.mode not in ("L", "LA", "RGB", "RGBA"):
            return found
        if picture.mode.endswith("A") and not all_bands:
            alpha = upright(np.asarray(picture.getchannel("A")), _orientation(picture))
            found = Bands(np.dstack([found.pixels, alpha]), channels, alpha=channels)
        return found._replace(nodata=_nodata_of(picture))


def bands_of(picture: Image.Image, path: str, *, channels: int, all_bands: bool) -> Bands:
    """A picture that Pillow has loaded, upright: gray or RGB as `channels` asks, with `all_bands` whatever it has."""
    if picture.mode.startswith(("I", "F")):
        return Bands(upright(np.asarray(picture)[..., None], _orientation(picture)), 1)
    if not all_bands:
        picture = _convert(picture, "L" if channels == 1 else "RGB", path)
    elif picture.mode in ("1", "P", "PA"):
        picture = _convert(picture, "L" if picture.mode == "1" else "RGB", path)
    return Bands(upright(np.asarray(picture), _orientation(picture)))


def _decode_png(picture: Image.Image | None, path: str) -> np.ndarray | None:
    """RGB of 8 bits in two thirds of Pillow's time; None for all else, and where Pillow has to say what is wrong."""
    if picture is None or picture.format != "PNG" or picture.mode != "RGB" or picture.tile[0].args != "RGB":
        return None
    try:
        return imagecodecs.spng_decode(read_content(path))
    except imagecodecs.SpngError:
        return None


@_in_windows
def read_picture(path: str, *, as_mask: bool = False) -> Picture:
    """A file as it is stored: palette indices, the orientation of EXIF not applied, any number of channels; with
    `as_mask` numbers as read_mask has them, and the alpha channel where that is the mask. Raises DataError for a file
    that is missing, not an image, or truncated."""
    if _is_array(path):
        pixels = _load_array(path)
        require_image(pixels, path)
        if as_mask:
            _require_integers(pixels, path, as_color=pixels.ndim == 3)
        return Picture(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, "NPY")
    with _opened(path) as picture:
        deep = _deep_bands(picture, path, as_stored=True, as_mask=as_mask)
        if deep is not None:
            pixels = deep.pixels[..., 0] if deep.pixels.shape[2] == 1 else deep.pixels
            if picture is None or picture.format == "TIFF":
                return Picture(pixels, "TIFF", nodata=deep.nodata)
            return Picture(pixels, picture.format, _orientation(picture))
        file_type, mode, palette = picture.format, picture.mode, None
        orientation = _orientation(picture)
        if mode == "1":
            return Picture(np.asarray(picture.convert("L")) // 255, file_type, orientation)
        if mode == "P":
            palette = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        elif as_mask and (band := mask_in_alpha(picture)) is not None:
            return Picture(np.asarray(picture)[..., band - 1], file_type, orientation, band=band)
        elif mode not in ("L", "RGB") and not mode.startswith(("I", "F")) and (mode, file_type) != ("RGBA", "TIFF"):
            picture = picture.convert("RGB")
        nodata = _nodata_of(picture)
        pixels = np.asarray(picture)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return Picture(pixels, file_type, orientation, palette, nodata)


def _nodata_of(picture: Image.Image) -> float | None:
    """What a TIFF that Pillow has loaded declares for pixels without data."""
    text = getattr(picture, "tag_v2", {}).get(GDAL_NODATA)
    return None if text is None else parse_nodata(text, np.asarray(picture).dtype)


def count_pictures(path: Path) -> int:
    """Frames of an animation or pages of a TIFF; 1 for all other files, and for what Pillow cannot read."""
    if path.suffix.lower() not in PAGED_SUFFIXES:
        return 1
    try:
        with _opened(str(path)) as picture:
            count = getattr(picture, "n_frames", 1)
            if count == 1 or picture.format != "TIFF":
                return count
            with tifffile.TiffFile(path) as file:  # overviews and masks are not further pictures
                return sum(not (page.is_reduced or page.is_mask) for page in file.pages)
    except DataError:
        return 1


@_in_windows
def read_mask(
    path: str | Path,
    *,
    as_color: bool,
    band: int | None = None,
    ignored: Iterable[float] = (),
    palettes: dict[tuple[int, tuple[int, ...]], str] | None = None,
) -> np.ndarray:
    """A mask file as it is: HW integers (palette PNGs give their indices), or HWC uint8 RGB with `as_color`.

    `band` is the one that holds the values, counted from 1. Whole numbers that a TIFF holds as floats are integers,
    gray TIFFs of 2 to 8 bits are as stored, also where white is noted as zero. Where a pixel has a value that the file
    declares as no data, or one of `ignored` (negative, huge, nan), the result is a masked array that masks it.
    `palettes` collects the values that are used with their colors, and a file that has them.

    Raises DataError for a broken file, a JPEG (it changes values), an RGB picture where values are expected, and a mask
    that is in the alpha channel.
    """
    path, nodata = str(path), None
    if _is_array(path):
        mask = _load_array(path)
        mask = mask[..., band - 1] if band is not None and mask.ndim == 3 and band <= mask.shape[2] else mask
        if not as_color and mask.ndim == 3 and mask.shape[2] in (1, 3):
            mask = one_plane(mask, path)
        _require_integers(mask, path, as_color=as_color)
    else:
        with _opened(path) as picture:
            if picture is not None and picture.format in ("JPEG", "AVIF"):
                what = f"a {picture.format} changes the values of a mask"
                raise DataError(f"{path}: {what}; save masks as PNG, from the original annotation")
            mask, nodata = _mask_pixels(picture, path, as_color=as_color, band=band)
            if palettes is not None and picture is not None and picture.mode == "P":
                colors = picture.getpalette("RGB")
                for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist():
                    palettes.setdefault((value, tuple(colors[3 * value : 3 * value + 3])), path)
    return hide_values(mask, [*ignored, *([] if nodata is None else [nodata])], path, as_color=as_color)


def _require_integers(mask: np.ndarray, path: str, *, as_color: bool) -> None:
    if mask.ndim != (3 if as_color else 2) or mask.dtype.kind not in "biu":
        raise DataError(
            f"{path}: expected a mask of {'HWC' if as_color else 'HW'} integers, not {mask.dtype} of {mask.shape}"
        )


def _mask_pixels(
    picture: Image.Image | None, path: str, *, as_color: bool, band: int | None
) -> tuple[np.ndarray, float | None]:
    """The pixels that read_mask gives, still as floats where the file has those, and the file's value for no data."""
    deep = _deep_bands(picture, path, all_bands=band is not None, as_mask=not as_color)
    if band is not None:
        raw = deep or Bands(np.atleast_3d(np.asarray(picture)))
        if band > raw.pixels.shape[2]:
            raise DataError(f"{path}: has no band {band} (data.mask_band); it has {raw.pixels.shape[2]}")
        return raw.pixels[..., band - 1], raw.nodata
    if deep is not None:
        return mask_of_bands(deep, path, as_color=as_color), deep.nodata
    alpha = mask_in_alpha(picture)
    if alpha is not None:
        raise DataError(f"{path}: has a single color, and its alpha channel is the mask; write data.mask_band: {alpha}")
    nodata = _nodata_of(picture)
    if as_color:
        return np.asarray(_convert(picture, "RGB", path)), nodata
    if picture.mode == "1":
        return np.asarray(picture.convert("L")) // 255, nodata
    if picture.mode in ("L", "P") or picture.mode.startswith("I"):
        return np.asarray(picture), nodata
    return one_plane(np.asarray(_convert(picture, "RGB", path)), path), nodata


def read_layers(path: str | Path, count: int) -> np.ndarray:
    """A mask file with a channel for each of `count` classes that may overlap: CHW integers, as they are.

    Raises DataError for a broken file, a JPEG, and another number of channels.
    """
    path = str(path)
    if split_window(path)[0].lower().endswith((".jpg", ".jpeg")):
        raise DataError(f"{path}: a JPEG changes the values of a mask; save masks as PNG, TIFF or .npy")
    pixels = require_image(_read_bands(path, channels=0, bands=None).pixels, path)
    if pixels.shape[2] != count or pixels.dtype.kind == "f":
        found = f"{pixels.shape[2]} channels of {pixels.dtype}"
        raise DataError(
            f"{path}: has {found}; a mask of overlapping classes has one integer channel for each of the {count}"
        )
    return np.moveaxis(pixels, -1, 0)
