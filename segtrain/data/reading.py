"""Image and mask files to arrays, with errors that name the file."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segtrain.errors import DataError


def _open(path: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large sizes and odd tags; what matters raises
            with Image.open(path) as picture:
                picture.load()
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not an image of a known type; is the file complete?") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three for broken files
        raise DataError(f"{path}: cannot be read as an image: {error}; is the file complete?") from error
    picture.info.pop("transparency", None)  # it would go in the conversion to RGB anyway, with a warning
    return picture


def _convert(picture: Image.Image, mode: str, path: str) -> Image.Image:
    try:
        return picture.convert(mode)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as {mode}: {error}; convert it to an RGB PNG") from error


def _load_array(path: str) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as a NumPy array: {error}") from error


def read_image(path: str | Path, *, channels: int = 3) -> np.ndarray:
    """An image in HWC uint8, 0..255, with `channels` channels: grey for 1, RGB for 3, else as many as the file holds.

    An EXIF rotation is applied. Raises DataError for a file that is broken, has other channels, or more than 8 bits.
    """
    path = str(path)
    if path.lower().endswith(".npy"):
        image = _load_array(path)
    else:
        picture = _open(path)
        if picture.mode.startswith(("I", "F")):
            raise DataError(f"{path}: has more than 8 bits a channel (mode {picture.mode}); convert it to 8 bits")
        if channels in (1, 3):
            picture = _convert(picture, "L" if channels == 1 else "RGB", path)
        image = np.asarray(ImageOps.exif_transpose(picture))
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise DataError(f"{path}: expected an HWC uint8 image, not {image.dtype} of shape {image.shape}")
    if image.shape[2] != channels:
        raise DataError(f"{path}: has {image.shape[2]} channels, but data.channels is {channels}")
    return image


def read_mask(path: str | Path, *, as_color: bool) -> np.ndarray:
    """A mask file as it is: HW integers (palette PNGs give their indices), or HWC uint8 RGB with `as_color`.

    Raises DataError for a broken file, a JPEG (it changes values), and an RGB picture where values are expected.
    """
    path = str(path)
    if path.lower().endswith(".npy"):
        mask = _load_array(path)
        if mask.ndim != (3 if as_color else 2) or mask.dtype.kind not in "biu":
            raise DataError(
                f"{path}: expected a mask of {'HWC' if as_color else 'HW'} integers, not {mask.dtype} of {mask.shape}"
            )
        return mask.astype(np.uint8) if mask.dtype == bool else mask
    picture = _open(path)
    if picture.format == "JPEG":
        raise DataError(f"{path}: a JPEG changes the values of a mask; save masks as PNG, from the original annotation")
    if as_color:
        return np.asarray(_convert(picture, "RGB", path))
    if picture.mode == "1":
        return np.asarray(picture.convert("L")) // 255
    if picture.mode in ("L", "P") or picture.mode.startswith("I"):
        return np.asarray(picture)
    planes = np.asarray(_convert(picture, "RGB", path))
    if not ((planes[..., 0] == planes[..., 1]).all() and (planes[..., 0] == planes[..., 2]).all()):
        raise DataError(
            f"{path}: is an RGB picture; give every class its color, like "
            "data.classes: [{name: sky, color: [0, 0, 255]}]"
        )
    return planes[..., 0]
