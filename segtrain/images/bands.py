"""TIFF files that Pillow cannot hold: many bands, more than 8 bits, floating point, one band after the other."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segtrain.errors import DataError

if TYPE_CHECKING:
    import tifffile

# Tags, from the TIFF 6.0 specification and the GDAL documentation.
BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, ORIENTATION = 258, 259, 262, 274
SAMPLES_PER_PIXEL, EXTRA_SAMPLES, SAMPLE_FORMAT, GDAL_NODATA = 277, 338, 339, 42113
GREY_PHOTOMETRICS, COLOR_PHOTOMETRICS = (0, 1), (2, 6)
ON_ITS_SIDE = (5, 6, 7, 8)
ALPHA = (1, 2)  # of ExtraSamples: associated and not


class Bands(NamedTuple):
    """Pixels as a file holds them, HWC of any dtype, and what they mean.

    `colors`: 3 where the first three channels are RGB, 1 where the first is grey, 0 where nothing says so. `nodata`:
    the value of pixels that hold none, as GDAL notes it.
    """

    pixels: np.ndarray
    colors: int = 0
    nodata: float | None = None


def is_tiff(path: str) -> bool:
    """Whether a file begins as a TIFF or a BigTIFF does."""
    with open(path, "rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def fits_pillow(tags: Any) -> bool:
    """Whether Pillow gives all that is in a TIFF with these tags. Without a word it reduces 16-bit colours to 8 bits,
    reads signed bytes as unsigned ones, leaves out bands that are no colours, and scrambles the rows of some pictures
    on their side."""
    bits, formats = tags.get(BITS_PER_SAMPLE, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    grey_bands = tags.get(SAMPLES_PER_PIXEL, 1) - (tags.get(EXTRA_SAMPLES, ())[:1] in [(kind,) for kind in ALPHA])
    is_stack = tags.get(PHOTOMETRIC) in GREY_PHOTOMETRICS and grey_bands > 1
    is_scrambled = tags.get(ORIENTATION, 1) in ON_ITS_SIDE and tags.get(COMPRESSION, 1) == 1
    return max(bits) <= 8 and set(formats) == {1} and not is_stack and not is_scrambled


@contextmanager
def _first_image(path: str) -> Iterator[tuple["tifffile.TiffPageSeries", tuple[int, ...]]]:
    """The first image of a file and the order of its axes that makes it HW or HWC."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # odd tags of GDAL and others; what matters raises
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        axes, shape = series.axes, series.shape
        if axes == "QYX" and shape[2] < shape[0]:
            axes = "YXQ"  # an array (H, W, C) that was saved as it is became H pages of W x C
        channels = [place for place, axis in enumerate(axes) if axis not in "YX"]
        if len(channels) > 1:
            raise DataError(f"{path}: holds a stack of shape {shape} (axes {axes}); split it into one file an image")
        yield series, (axes.index("Y"), axes.index("X"), *channels)


def tiff_size(path: str) -> tuple[int, int]:
    """Height and width of the first image in a file, in pixels, from its header; its orientation is applied."""
    with _first_image(path) as (series, order):
        height, width = (series.shape[place] for place in order[:2])
        on_its_side = series.keyframe.tags.valueof(ORIENTATION, 1) in ON_ITS_SIDE
        return (width, height) if on_its_side else (height, width)


def read_tiff(path: str) -> Bands:
    """The first image in a file: all bands that its pages of one size hold, upright. What tifffile and its codecs
    raise for a broken file passes through."""
    with _first_image(path) as (series, order):
        pixels = series.asarray(maxworkers=1).transpose(order)
        page = series.keyframe
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        pixels = upright(pixels, page.tags.valueof(ORIENTATION, 1))
        return Bands(
            np.ascontiguousarray(pixels), band_colors(page, pixels.shape[2]), declared_nodata(page, pixels.dtype)
        )


def band_colors(page: "tifffile.TiffPage", channels: int) -> int:
    """What the first of the channels of a page are, as Bands has it."""
    if page.photometric in COLOR_PHOTOMETRICS:
        return 3
    has_alpha = page.extrasamples[:1] in [(kind,) for kind in ALPHA]
    return int(channels - has_alpha == 1)


def declared_nodata(page: "tifffile.TiffPage", dtype: np.dtype) -> float | None:
    """The value of a page's pixels that hold none, as GDAL notes it; None where nothing says so."""
    try:
        value = float(page.tags.valueof(GDAL_NODATA))
    except (TypeError, ValueError):  # no such tag, or a text that is no number
        return None
    if dtype.kind == "f":  # written with fewer digits, the lowest float32 is past the range
        limits = np.finfo(dtype)
        return float(np.clip(value, limits.min, limits.max))
    return value if dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max else None


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """HWC pixels turned as the orientation 1..8 of EXIF and TIFF asks for; any other number changes nothing."""
    if orientation in ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
