"""What a file holds, as the image that was asked for: its channels, its bands, its values in units of white."""

from collections.abc import Sequence

import numpy as np

from segtrain.errors import DataError
from segtrain.images.bands import Bands

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow turns RGB into grey
WHITES = (1, 255, 1023, 4095, 10000, 65535)  # floats, 8, 10 and 12 bits, reflectance of Sentinel-2, 16 bits


def to_image(
    raw: Bands, path: str, *, channels: int = 3, scale: float | None = None, bands: Sequence[int] | None = None
) -> np.ndarray:
    """What a file holds, or some of its rows, as the image that read_image gives; `path` is for its errors."""
    pixels = require_image(raw.pixels, path)
    if scale is None and pixels.dtype != np.uint8:
        raise DataError(f"{path}: {_explain_scale(raw)}")
    if scale is not None and scale > 255 and pixels.dtype == np.uint8:
        raise DataError(f"{path}: holds 8 bits, but data.scale is {scale:g}; all images must be of one kind")
    if bands is not None:
        pixels = _pick(pixels, bands, path)
    if scale is not None:
        pixels = _scaled(pixels, scale, raw.nodata)
    pixels = _with_channels(pixels, channels, 0 if bands is not None else raw.colors)
    if pixels.shape[2] != channels:
        found = f"has {pixels.shape[2]} channels" if bands is None else f"data.bands picks {len(bands)} channels"
        more = f"; data.bands: {list(range(1, channels + 1))} picks the first" if pixels.shape[2] > channels else ""
        raise DataError(f"{path}: {found}, but data.channels is {channels}{more if bands is None else ''}")
    return np.ascontiguousarray(pixels)


def require_image(pixels: np.ndarray, path: str) -> np.ndarray:
    """Pixels as HWC. Raises DataError for what is no image of numbers."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.dtype.kind not in "biuf" or 0 in pixels.shape:
        raise DataError(f"{path}: expected an image of HWC numbers, not {pixels.dtype} of shape {pixels.shape}")
    return pixels


def _explain_scale(raw: Bands) -> str:
    """What to write as data.scale: the smallest usual white that no pixel exceeds."""
    values = raw.pixels[np.isfinite(raw.pixels)]
    values = values if raw.nodata is None else values[values != raw.nodata]
    if not values.size:
        return f"holds {raw.pixels.dtype} values, none of them finite"
    low, high = (
        f"{value:.6g}" if raw.pixels.dtype.kind == "f" else str(int(value)) for value in (values.min(), values.max())
    )
    white = next((white for white in WHITES if values.max() <= white), high)
    return (
        f"holds {raw.pixels.dtype} values from {low} to {high}; write data.scale: {white}, the value that means white "
        f"({white} is a guess from that range), and train with it"
    )


def _pick(pixels: np.ndarray, bands: Sequence[int], path: str) -> np.ndarray:
    outside = [band for band in bands if not 1 <= band <= pixels.shape[2]]
    if outside:
        raise DataError(f"{path}: has no band {outside[0]} of data.bands; it has {pixels.shape[2]}, counted from 1")
    return pixels[..., [band - 1 for band in bands]]


def _scaled(pixels: np.ndarray, scale: float, nodata: float | None) -> np.ndarray:
    with np.errstate(all="ignore"):  # what overflows is not finite, and becomes 0
        image = pixels.astype(np.float32) / np.float32(scale)
    image[~np.isfinite(image)] = 0
    if nodata is not None and not 0 <= nodata <= scale:  # between them it is a colour that harms nobody
        image[pixels == pixels.dtype.type(nodata)] = 0
    return image


def _with_channels(pixels: np.ndarray, channels: int, colors: int) -> np.ndarray:
    """Grey or RGB as Pillow makes it, for pictures that did not come through it; `colors` as Bands has it."""
    if colors == 1 and channels in (1, 3):
        return np.repeat(pixels[..., :1], channels, axis=2)
    if colors == 3 and channels == 3:
        return pixels[..., :3]
    if colors == 3 and channels == 1:
        grey = pixels[..., :3].astype(np.float32, copy=False) @ LUMA
        return (np.rint(grey) if pixels.dtype == np.uint8 else grey).astype(pixels.dtype, copy=False)[..., None]
    return pixels
