"""Bands of an image: what a file holds, also many bands, more than 8 bits and floats, and the image that is asked for:
its channels, its bands, its values in units of white."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segtrain.errors import DataError
from segtrain.files import readable, split_window

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # odd tags of GDAL and others; what matters raises

# Tags, from the TIFF 6.0 specification and the GDAL documentation.
BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, ORIENTATION = 258, 259, 262, 274
SAMPLES_PER_PIXEL, EXTRA_SAMPLES, SAMPLE_FORMAT, GDAL_NODATA = 277, 338, 339, 42113
GRAY_PHOTOMETRICS, COLOR_PHOTOMETRICS = (0, 1), (2, 6)
ON_ITS_SIDE = (5, 6, 7, 8)
ALPHA = (1, 2)  # of ExtraSamples: associated and not
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow turns RGB into gray
LARGEST_WHOLE = 1 << 53  # up to which float64 holds every whole number
# A file has at most as many bytes of pixels, or this many times its own size: zlib's most is 1032.
LARGEST_HOLLOW, MOST_SHRUNK = 4 << 30, 2000
LARGEST_DARK = 64  # a channel that stays below it, beside empty ones, is no color but class values
WHITES = (1, 255, 1023, 4095, 10000, 65535)  # floats, 8, 10 and 12 bits, reflectance of Sentinel-2, 16 bits


class Bands(NamedTuple):
    """Pixels as a file holds them, HWC of any dtype, and what they mean.

    `colors`: 3 where the first three channels are RGB, 1 where the first is gray, 0 where nothing says so. `nodata`:
    the value of pixels that hold none, as GDAL notes it. `alpha`: the channel, counted from 0, that is 0 where pixels
    are transparent.
    """

    pixels: np.ndarray
    colors: int = 0
    nodata: float | None = None
    alpha: int | None = None


def open_source(path: str) -> str | BytesIO:
    """What a library can open, as files.readable gives it, also of a window of a TIFF."""
    if split_window(path)[1] is None:
        return readable(path)
    from segtrain.images.windows import cut_window

    return cut_window(path)


def is_tiff(path: str) -> bool:
    """True for a file that begins as a TIFF or a BigTIFF does."""
    source = readable(split_window(path)[0])
    with open(source, "rb") if isinstance(source, str) else source as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def fits_pillow(tags: Any) -> bool:
    """True where Pillow reads a TIFF with these tags as it is. Otherwise Pillow silently reduces 16-bit colors to
    8 bits, reads signed bytes as unsigned ones, leaves out bands that are not colors, and scrambles the rows of some
    pictures that lie on their side."""
    bits, formats = tags.get(BITS_PER_SAMPLE, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    gray_bands = tags.get(SAMPLES_PER_PIXEL, 1) - (tags.get(EXTRA_SAMPLES, ())[:1] in [(kind,) for kind in ALPHA])
    is_stack = tags.get(PHOTOMETRIC) in GRAY_PHOTOMETRICS and gray_bands > 1
    is_scrambled = tags.get(ORIENTATION, 1) in ON_ITS_SIDE and tags.get(COMPRESSION, 1) == 1
    return max(bits) <= 8 and set(formats) == {1} and not is_stack and not is_scrambled


def holds_numbers(tags: Any) -> bool:
    """True for a gray TIFF of 2 to 8 bits whose values Pillow would change, as is right for a picture: it stretches
    fewer bits than 8, and inverts what is noted as WhiteIsZero."""
    bits, photometric = max(tags.get(BITS_PER_SAMPLE, (1,))), tags.get(PHOTOMETRIC)
    return photometric in GRAY_PHOTOMETRICS and (1 < bits < 8 or (bits == 8 and photometric == 0))


def is_one_of(pixels: np.ndarray, values: Iterable[float]) -> np.ndarray:
    """Where pixels of any shape have one of these values: bool, of the same shape. nan is a value like others; of those
    that are too large to be whole numbers in float64 the first three digits count."""
    found = np.zeros(pixels.shape, bool)
    for value in values:
        if math.isnan(value):
            found |= pixels != pixels
        elif abs(value) > LARGEST_WHOLE:
            found |= np.isclose(pixels.astype(np.float64), value, rtol=1e-3, atol=0)
        else:
            found |= pixels == value
    return found


@contextmanager
def _first_image(path: str) -> Iterator[tuple[tifffile.TiffPageSeries, tuple[int, ...]]]:
    """The first image of a file and the order of its axes that makes it HW or HWC."""
    with tifffile.TiffFile(open_source(path)) as file:
        len(file.pages)  # only when it counts them does tifffile notice pages that follow one another in a circle
        series = file.series[0]
        axes, shape = series.axes, series.shape
        size = file.filehandle.size
        if 0 in shape or (series.nbytes > LARGEST_HOLLOW and series.nbytes > MOST_SHRUNK * size):
            raise DataError(f"{path}: declares shape {shape}, but has {size:,} bytes; is the file complete?")
        if axes == "QYX" and shape[2] < shape[0]:
            axes = "YXQ"  # an array (H, W, C) that was saved as it is became H pages of W x C
        channels = [index for index, axis in enumerate(axes) if axis not in "YX"]
        if len(channels) > 1:
            raise DataError(
                f"{path}: contains a stack of shape {shape} (axes {axes}); split it into one file per image"
            )
        yield series, (axes.index("Y"), axes.index("X"), *channels)


def tiff_size(path: str) -> tuple[int, int]:
    """Height and width of the first image in a file, in pixels, from its header; its orientation is applied."""
    with _first_image(path) as (series, order):
        height, width = (series.shape[index] for index in order[:2])
        on_its_side = series.keyframe.tags.valueof(ORIENTATION, 1) in ON_ITS_SIDE
        return (width, height) if on_its_side else (height, width)


def tiff_orientation(path: str) -> int:
    """The orientation 1..8 of the first page of a file, 1 where it has none."""
    with tifffile.TiffFile(readable(split_window(path)[0])) as file:
        found = file.pages[0].tags.valueof(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def read_tiff(path: str) -> Bands:
    """The first image in a file: all bands that its pages of one size hold, upright. What tifffile and its codecs
    raise for a broken file passes through."""
    with _first_image(path) as (series, order):
        page = series.keyframe
        pixels = np.atleast_3d(series.asarray(maxworkers=1).transpose(order))
        pixels = upright(pixels.astype(np.uint8) if pixels.dtype == bool else pixels, page.tags.valueof(ORIENTATION, 1))
        return bands_of_page(np.ascontiguousarray(pixels), page)


def bands_of_page(pixels: np.ndarray, page: tifffile.TiffPage) -> Bands:
    """Pixels of a page, or some of its rows, HWC, with what the page says of them."""
    alphas = [index for index, kind in enumerate(page.extrasamples, -len(page.extrasamples)) if kind in ALPHA]
    alpha = pixels.shape[2] + alphas[0] if alphas else None
    return Bands(pixels, band_colors(page, pixels.shape[2]), declared_nodata(page, pixels.dtype), alpha)


def read_nodata(path: str, *, channels: int = 3, bands: Sequence[int] | None = None) -> np.ndarray | None:
    """What find_nodata gives for the whole of a file; None for what is not a TIFF. It is read only where its tags
    declare anything."""
    if not is_tiff(path):
        return None
    with _first_image(path) as (series, _):
        if not may_lack_data(series.keyframe):
            return None
    return find_nodata(read_tiff(path), channels=channels, bands=bands)


def may_lack_data(page: tifffile.TiffPage) -> bool:
    """Whether find_nodata may find any in a page: it declares a value, has an alpha channel, or floats."""
    has_alpha = not set(page.extrasamples).isdisjoint(ALPHA)
    return GDAL_NODATA in page.tags or has_alpha or (page.dtype is not None and page.dtype.kind == "f")


def band_colors(page: tifffile.TiffPage, channels: int) -> int:
    """The meaning of the first channels of a page: `colors` of Bands."""
    if page.photometric in COLOR_PHOTOMETRICS:
        return 3
    has_alpha = page.extrasamples[:1] in [(kind,) for kind in ALPHA]
    return int(channels - has_alpha == 1)


def declared_nodata(page: tifffile.TiffPage, dtype: np.dtype) -> float | None:
    """The value of a page's pixels that hold none, as GDAL notes it; None where nothing says so."""
    return parse_nodata(page.tags.valueof(GDAL_NODATA), dtype)


def parse_nodata(text: str | None, dtype: np.dtype) -> float | None:
    """The value in GDAL's tag for no data, for pixels of this type; None where there is none that they can hold."""
    try:
        value = float(text.strip("\0 "))
    except (AttributeError, ValueError):  # no such tag, or a text that is not a number
        return None
    if dtype.kind == "f":  # written with fewer digits, the lowest float32 is past the range
        limits = np.finfo(dtype)
        return value if math.isinf(value) else float(np.clip(value, limits.min, limits.max))
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


def to_image(
    raw: Bands, path: str, *, channels: int = 3, scale: float | None = None, bands: Sequence[int] | None = None
) -> np.ndarray:
    """The image that read_image gives, from what a file holds or from some of its rows; `path` is for the errors."""
    pixels = require_image(raw.pixels, path)
    if scale is None and pixels.dtype != np.uint8:
        raise DataError(f"{path}: {_explain_scale(raw)}")
    if scale is not None and scale > 255 and pixels.dtype == np.uint8:
        raise DataError(f"{path}: has 8 bits, but data.scale is {scale:g}; all images must have the same type")
    if bands is not None:
        outside = [band for band in bands if not 1 <= band <= pixels.shape[2]]
        if outside:
            raise DataError(
                f"{path}: has no band {outside[0]} (data.bands); it has {pixels.shape[2]} bands, counted from 1"
            )
        pixels = pixels[..., [band - 1 for band in bands]]
    if scale is not None:
        pixels = _scaled(pixels, scale, raw.nodata)
    pixels = _with_channels(pixels, channels, 0 if bands is not None else raw.colors)
    if pixels.shape[2] != channels:
        found = f"has {pixels.shape[2]} channels" if bands is None else f"data.bands selects {len(bands)} channels"
        more = f"; data.bands: {list(range(1, channels + 1))} selects the first" if pixels.shape[2] > channels else ""
        raise DataError(f"{path}: {found}, but data.channels is {channels}{more if bands is None else ''}")
    return np.ascontiguousarray(pixels)


def find_nodata(raw: Bands, *, channels: int = 3, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
    """Where pixels have no data, bool HW: each band that the image is made of (see to_image) is nan or has the value
    that the file declares, or its alpha channel, which is not one of them, is 0. None where all have data."""
    pixels = require_image(raw.pixels, "")
    taken = list(range(pixels.shape[2])) if bands is None else [band - 1 for band in bands]
    if bands is None and channels in (1, 3) and raw.colors:
        taken = taken[: raw.colors]
    values = ([] if raw.nodata is None else [raw.nodata]) + ([math.nan] if pixels.dtype.kind == "f" else [])
    missing = is_one_of(pixels[..., taken], values).all(axis=-1) if values else np.zeros(pixels.shape[:2], bool)
    if raw.alpha is not None and raw.alpha not in taken:
        missing |= pixels[..., raw.alpha] == 0
    return missing if missing.any() else None


def require_image(pixels: np.ndarray, path: str) -> np.ndarray:
    """Pixels as HWC. Raises DataError for what is not an image of numbers."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.dtype.kind not in "biuf" or 0 in pixels.shape:
        raise DataError(f"{path}: expected an image of HWC numbers, not {pixels.dtype} of shape {pixels.shape}")
    return pixels


def _explain_scale(raw: Bands) -> str:
    """The advice for data.scale: the smallest usual white that no pixel exceeds."""
    values = raw.pixels[np.isfinite(raw.pixels)]
    values = values if raw.nodata is None else values[values != raw.nodata]
    if not values.size:
        return f"has {raw.pixels.dtype} values, none of them finite"
    low, high = (
        f"{value:.6g}" if raw.pixels.dtype.kind == "f" else str(int(value)) for value in (values.min(), values.max())
    )
    white = next((white for white in WHITES if values.max() <= white), high)
    return (
        f"has {raw.pixels.dtype} values from {low} to {high}; write data.scale: {white}, the value that means white "
        f"({white} is a guess from that range), and train with it"
    )


def _scaled(pixels: np.ndarray, scale: float, nodata: float | None) -> np.ndarray:
    with np.errstate(all="ignore"):  # what overflows is not finite, and becomes 0
        image = pixels.astype(np.float32) / np.float32(scale)
    image[~np.isfinite(image)] = 0
    if nodata is not None and not 0 <= nodata <= scale:  # between them it is a harmless color
        image[pixels == pixels.dtype.type(nodata)] = 0
    return image


def _with_channels(pixels: np.ndarray, channels: int, colors: int) -> np.ndarray:
    """Gray or RGB as Pillow makes it, for pictures that did not come through it; `colors` as Bands has it."""
    if colors == 1 and channels in (1, 3):
        return np.repeat(pixels[..., :1], channels, axis=2)
    if colors == 3 and channels == 3:
        return pixels[..., :3]
    if colors == 3 and channels == 1:
        gray = pixels[..., :3].astype(np.float32, copy=False) @ LUMA
        return (np.rint(gray) if pixels.dtype == np.uint8 else gray).astype(pixels.dtype, copy=False)[..., None]
    return pixels


def find_value_band(lows: Sequence[int], highs: Sequence[int]) -> int | None:
    """The one of three channels, counted from 1, that holds class values where the others are empty; from the smallest
    and largest value of each, (3,). None where the channels are colors."""
    varying = [channel for channel in range(3) if lows[channel] < highs[channel]]
    return varying[0] + 1 if len(varying) == 1 and highs[varying[0]] < LARGEST_DARK else None


def one_plane(planes: np.ndarray, path: str) -> np.ndarray:
    """The values, HW, of an RGB picture, HWC, that is gray, or of one channel. Raises DataError for colors."""
    if planes.shape[2] == 1:
        return planes[..., 0]
    band = find_value_band(planes.min(axis=(0, 1)), planes.max(axis=(0, 1)))
    if band is not None:
        raise DataError(f"{path}: has its values only in channel {band}; write data.mask_band: {band}")
    if not ((planes[..., 0] == planes[..., 1]).all() and (planes[..., 0] == planes[..., 2]).all()):
        raise DataError(
            f"{path}: is an RGB image; give every class a color, like data.classes: [{{name: sky, color: [0, 0, 255]}}]"
        )
    return planes[..., 0]


def mask_of_bands(raw: Bands, path: str, *, as_color: bool) -> np.ndarray:
    """The mask that read_mask gives of the bands of a file, HW or HWC, still as floats where the file has those."""
    pixels = raw.pixels
    if as_color:
        if raw.colors != 3 or pixels.dtype != np.uint8:
            raise DataError(f"{path}: expected an 8-bit RGB mask, not {pixels.dtype} with {pixels.shape[2]} channels")
        return pixels[..., :3]
    if raw.colors == 0:
        found = f"has {pixels.shape[2]} channels; a mask has one channel with class values"
        raise DataError(f"{path}: {found}; write data.mask_band: 1 if that is the first")
    return pixels[..., 0] if raw.colors == 1 else one_plane(pixels[..., :3], path)


def hide_values(mask: np.ndarray, values: list[float], path: str, *, as_color: bool) -> np.ndarray:
    """A mask of integers, as a masked array where it has one of these values; a color has it in all channels."""
    mask = mask.astype(np.uint8) if mask.dtype == bool else mask
    if not values and mask.dtype.kind != "f":
        return mask
    hidden = is_one_of(mask, values)
    hidden = np.broadcast_to(hidden.all(axis=-1, keepdims=True), mask.shape) if as_color else hidden
    if mask.dtype.kind == "f":
        broken = mask[~hidden & ~(np.isfinite(mask) & (mask == np.rint(mask)) & (abs(mask) <= LARGEST_WHOLE))]
        if broken.size:
            value = float(broken[0])
            shown = f"{path}: has {mask.dtype} values like {value:g}; mask values are integers, 0..65535"
            if math.isnan(value) or abs(value) > LARGEST_WHOLE:  # as others write what is not known
                written = str(value).replace("nan", ".nan").replace("inf", ".inf")
                shown += f"; to ignore it, write data.ignore_values: [{written}]"
            raise DataError(shown)
        mask = np.where(hidden, -1, mask).astype(np.int64)
    return np.ma.MaskedArray(mask, hidden) if hidden.any() else mask


def mask_in_alpha(picture: Image.Image) -> int | None:
    """The alpha channel, counted from 1, of a picture of one color where it has shapes: that is the mask."""
    if picture.mode not in ("RGBA", "LA"):
        return None
    *colors, alpha = picture.getextrema()
    return len(colors) + 1 if alpha[0] < alpha[1] and all(low == high for low, high in colors) else None
