"""Examination: one pair of files to a record, some kilobytes whatever its size; every file is decoded once."""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segtrain.config.data_schema import DataConfig, are_colors, claim_values, is_in_range
from segtrain.data.labels import build_decoder
from segtrain.errors import DataError
from segtrain.files import container_of, split_window
from segtrain.formats import find_mask_reader
from segtrain.formats.sample import Sample
from segtrain.images.bands import LARGEST_WHOLE, is_one_of, one_plane, tiff_orientation, upright
from segtrain.images.georeference import find_apart
from segtrain.images.reading import Picture, image_size, read_picture
from segtrain.visualize import flatten_layers

THUMBNAIL_PX = 32
KEPT_VALUES = 300
TONE_SAMPLES = 4096  # pixels of an image that are looked at for the colors below the values of its mask
NODATA = np.iinfo(np.int64).min  # the code of pixels whose value the file, or the experiment, notes as no data
MOSTLY = 0.95  # of a mask
BORDER = 0.012  # half of the width of the widest border, as a share of the longer side; VOC's have 5 of 500 pixels
FIT_PX = 512  # longer side at which the edges of image and mask are compared


class ImageRecord(NamedTuple):
    """An image, as it is shown: height and width with the orientation of EXIF or TIFF applied.

    `low` and `high` are its smallest and largest value, without those that are not finite or that the file itself notes
    as no data; `used_bits` is the bitwise or of all values of integers wider than 8 bits, else 0; `mean` and `square`
    are means of the values and of their squares, one per channel. `thumbnail` is THUMBNAIL_PX squared bytes of gray.
    """

    height: int
    width: int
    channels: int
    dtype: str
    file_type: str
    orientation: int
    low: float
    high: float
    used_bits: int
    mean: tuple[float, ...]
    square: tuple[float, ...]
    digest: bytes
    hash: int
    thumbnail: bytes

    @property
    def is_flat(self) -> bool:
        """Whether all its pixels are the same."""
        return self.low == self.high


class MaskRecord(NamedTuple):
    """A mask: which values it holds, HW integers or colors that are packed into one number (see pack_color).

    The KEPT_VALUES values with most pixels are kept, `codes` int64 (n,); `counts` int64 (n, 3) are their pixels, those
    of them in a square of 2 x 2 equal ones (lower and right neighbors), and those in the outermost frame. `tones`
    float32 (n, 3) are the mean color of the image below them, nan where that is not known. `palette` int64 (n,) are
    the packed colors of a palette's indices. `is_rgb` says that the file has three channels, also where it is gray.
    `orientation` is that of EXIF, which a training does not apply to masks.
    `thick` are the pixels of data.ignore_index in areas too wide for borders (in layers, if these have no pixel of the
    class), `band` the alpha that holds the values.
    """

    height: int
    width: int
    file_type: str
    is_color: bool
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    tones: NDArray[np.float32]
    palette: NDArray[np.int64] | None = None
    further_values: int = 0
    further_pixels: int = 0
    is_rgb: bool = False
    orientation: int = 1
    thick: int = 0
    band: int | None = None

    @property
    def colors(self) -> NDArray[np.int64]:
        """The packed colors (n,) that the values are when the mask is read as RGB."""
        if self.is_color:
            return self.codes
        return np.where(self.codes == NODATA, NODATA, self.codes * 0x010101) if self.palette is None else self.palette


class Record(NamedTuple):
    """All that is known of one sample. What could not be read is None, with the reason in one line. `fit` is that of
    examine.compute_fit, for images that EXIF turns. `apart` says how its georeference lays the mask elsewhere."""

    split: str
    sample: Sample
    image: ImageRecord | None = None
    mask: MaskRecord | None = None
    image_error: str = ""
    mask_error: str = ""
    fit: float = math.nan
    apart: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether both files were read, and have one size."""
        image, mask = self.image, self.mask
        return image is not None and mask is not None and (image.height, image.width) == (mask.height, mask.width)

    @property
    def orientation(self) -> int:
        """The orientation of the image, or that of the mask where the image has none; of what was read."""
        return self.image.orientation if self.image.orientation != 1 else self.mask.orientation

    @property
    def has_mask_files(self) -> bool:
        """Whether the mask is files of its own, which can be changed, and not part of an annotation or an archive."""
        return "\t" not in self.sample.mask and container_of(self.sample.mask) == self.sample.mask


def pack_colors(colors: NDArray) -> NDArray[np.int32]:
    """RGB colors (.., 3), 0..255, as one number each, (..,)."""
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def split_colors(codes: NDArray) -> NDArray:
    """Packed colors (..,) as RGB (.., 3)."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def as_written(code: int, *, as_color: bool) -> float | list[int]:
    """A value, or a packed color as [r, g, b]: as an experiment has it."""
    if as_color:
        return split_colors(np.asarray(code)).tolist()
    return code if abs(code) <= LARGEST_WHOLE else np.array(code, np.int64).view(np.float64).item()


def examine(data: DataConfig | None, split: str, sample: Sample) -> Record:
    """The record of a sample of these data; what is wrong with its files stands in it, and nothing is raised."""
    image = mask = picture = planes = None
    image_error, mask_error, fit = "", "", math.nan
    try:
        picture, pixels = read_shown(data, sample)
        image, gray = describe_image(picture, pixels)
    except (DataError, MemoryError) as error:
        image_error = _one_line(error)
    try:
        mask, planes = examine_mask(data, sample)
    except (DataError, MemoryError) as error:
        mask_error = _one_line(error)
    if image is not None and planes is not None:
        orientation = picture.orientation if picture.orientation != 1 else mask.orientation
        if orientation != 1:
            fit = compute_fit(gray, planes, orientation)
        if gray.shape == planes.shape:
            mask = mask._replace(tones=compute_tones(pixels, planes, mask.codes))
    record = Record(split, sample, image, mask, image_error, mask_error, fit)
    if not record.is_pair or record.orientation != 1:
        return record
    path, window = split_window(sample.image)
    files, (height, width) = [file for file in sample.mask_files if file], (image.height, image.width)
    if window is not None and window[:2] == (0, 0):  # once for all windows of an image
        height, width = image_size(path)
    elif not record.has_mask_files:
        return record
    return record._replace(apart=find_apart(path, files, height=height, width=width))


def examine_mask(data: DataConfig | None, sample: Sample) -> tuple[MaskRecord, NDArray]:
    """The record of a mask, and its codes, HW integers. Raises DataError for what cannot be read."""
    if data is not None and data.multilabel:
        return _examine_layers(data, sample)
    own = find_mask_reader(data.format, data.arguments) if data is not None else None
    if own is not None:
        picture = Picture(own(sample.mask, as_color=are_colors(data.classes)), "")
    elif data is not None and data.mask_band is not None:
        raw = build_decoder(data).read_raw(sample.mask, as_color=False)
        picture = Picture(np.where(np.ma.getmask(raw), NODATA, np.ma.getdata(raw).astype(np.int64)), "")
    else:
        picture = read_picture(sample.mask, as_mask=True)
    planes, is_color = to_codes(picture, sample.mask_file, nodata=_ignored_values(picture, data))
    ignored = data.ignore_index if data is not None else 255
    thick = 0 if is_color else count_thick(planes == ignored)
    return describe_mask(picture, planes, is_color=is_color)._replace(thick=thick), planes


def _examine_layers(data: DataConfig, sample: Sample) -> tuple[MaskRecord, NDArray]:
    """Where classes overlap, the codes are those of the class with the fewest pixels, and the counts those of each."""
    decoder = build_decoder(data)
    layers = decoder.read(sample)
    order = np.argsort(-(layers == 1).sum(axis=(1, 2)), kind="stable")  # the smallest is uppermost, and seen
    flat = flatten_layers(layers[order], ignore_index=data.ignore_index)
    planes = np.full(layers.shape[1:], -1, np.int64)  # no class is -1
    for place, index in enumerate(order, start=1):
        planes[flat == place] = index
    planes[(layers == data.ignore_index).all(axis=0)] = data.ignore_index
    codes = np.append(np.arange(len(layers)), data.ignore_index)
    counts = np.outer(decoder.count(layers)[:-1], [1, 1, 0])
    thick = sum(count_thick(layer == data.ignore_index) for layer in layers if not (layer == 1).any())
    record = describe_mask(Picture(planes, ""), planes, is_color=False)
    return record._replace(codes=codes, counts=counts, thick=thick), planes


def _one_line(error: Exception) -> str:
    return "not enough memory to read it" if isinstance(error, MemoryError) else str(error)


def read_shown(data: DataConfig | None, sample: Sample) -> tuple[Picture, NDArray]:
    """An image and its pixels, HWC, as they are shown: turned, palettes as RGB, without alpha but where the data have
    four channels. Raises DataError for what cannot be read."""
    picture = read_picture(sample.image)
    pixels = picture.pixels if picture.palette is None else _colors_of(picture)[picture.pixels]
    pixels = upright(pixels[..., None] if pixels.ndim == 2 else pixels, picture.orientation)
    if picture.file_type == "TIFF":
        picture = picture._replace(orientation=tiff_orientation(sample.image))  # which was applied in reading it
    has_alpha = pixels.shape[2] == 4 and picture.file_type != "TIFF" and (data is None or data.channels != 4)
    return picture, pixels[..., :3] if has_alpha else pixels


def _colors_of(picture: Picture) -> NDArray[np.uint8]:
    table = np.zeros((256, 3), np.uint8)
    table[: len(picture.palette)] = picture.palette[:256]
    return table


def describe_image(picture: Picture, pixels: NDArray) -> tuple[ImageRecord, NDArray[np.uint8]]:
    """The record of an image, HWC, and the image in gray, HW uint8."""
    height, width, channels = pixels.shape
    pixels = np.ascontiguousarray(pixels)
    known = pixels
    if pixels.dtype != np.uint8:
        chosen = np.isfinite(pixels) & (pixels != picture.nodata)
        known = pixels if chosen.all() else pixels[chosen]
        pixels = np.where(chosen, pixels, 0)  # as training has it
    used_bits = int(np.bitwise_or.reduce(known, axis=None)) if known.dtype.kind in "iu" and known.itemsize > 1 else 0
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    mean, square = _moments(pixels)
    gray = to_gray(pixels)
    thumbnail = cv2.resize(gray, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(pixels.data)
    record = ImageRecord(
        height=height, width=width, channels=channels, dtype=str(pixels.dtype), file_type=picture.file_type,
        orientation=picture.orientation, low=low, high=high, used_bits=used_bits, mean=mean, square=square,
        digest=digest.digest()[:16], hash=compute_hash(thumbnail), thumbnail=thumbnail.tobytes(),
    )  # fmt: skip
    return record, gray


def _moments(pixels: NDArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means of the values and of their squares, one per channel."""
    if pixels.dtype == np.uint8 and pixels.shape[2] <= 4:
        mean, std = (numbers.ravel() for numbers in cv2.meanStdDev(pixels))
        return tuple(mean.tolist()), tuple((std**2 + mean**2).tolist())
    flat = pixels.reshape(-1, pixels.shape[2]).astype(np.float64)
    return tuple(flat.mean(axis=0).tolist()), tuple((flat**2).mean(axis=0).tolist())


def to_gray(pixels: NDArray) -> NDArray[np.uint8]:
    """HWC of any type and number of channels to HW uint8; what is not 8 bit is stretched to its own range."""
    if pixels.dtype == np.uint8:
        is_rgb = pixels.shape[2] == 3
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if is_rgb else np.ascontiguousarray(pixels[..., 0])
    gray = pixels[..., :3].astype(np.float32).mean(axis=2)
    low, high = gray.min(), gray.max()
    return ((gray - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def compute_hash(thumbnail: NDArray[np.uint8]) -> int:
    """64 bits that change little when an image is resized, compressed or brightened: pHash, the signs of the 8 x 8
    lowest frequencies against their median (Zauner: Implementation and Benchmarking of Perceptual Image Hash
    Functions, 2010, section 3.2.1)."""
    lowest = cv2.dct(thumbnail.astype(np.float32))[:8, :8].ravel()
    return int.from_bytes(np.packbits(lowest > np.median(lowest[1:])).tobytes(), "big")


def _ignored_values(picture: Picture, data: DataConfig | None) -> list[float]:
    """The values of a mask file that are no class's: what the data ignore and cannot be one, and what the file declares
    as no data unless a class has it; 0 is a class where nothing is known of them."""
    claims, as_color = {0: 0}, picture.pixels.ndim == 3
    if data is not None:
        as_color = are_colors(data.classes)
        claims = claim_values(data.classes, data.ignore_values or [], ignore_index=data.ignore_index)
    values = [value for value in claims if not (as_color or is_in_range(value))]
    if picture.nodata is not None and picture.nodata * (0x010101 if as_color else 1) not in claims:
        values.append(picture.nodata)
    return values


def to_codes(picture: Picture, path: str, *, nodata: Sequence[float] = ()) -> tuple[NDArray, bool]:
    """What a mask file holds as HW integers, and whether they are packed colors. Gray RGB pictures are values. Pixels
    with a value of `nodata` are NODATA; what float64 cannot hold as a whole number is its bits (as_written).

    Raises DataError for fractions and for a number of channels that a mask cannot have.
    """
    pixels, is_color = picture.pixels, False
    if pixels.ndim == 3 and (pixels.shape[2] == 1 or (pixels.dtype != np.uint8 and pixels.shape[2] in (3, 4))):
        pixels = one_plane(pixels[..., :3], path)  # colors of more than 8 bits are no classes
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        raise DataError(f"{path}: expected a mask of HW values or RGB colors, not {pixels.dtype} of {pixels.shape}")
    hidden = is_one_of(pixels, nodata)
    if pixels.ndim == 3:
        hidden = hidden[..., :3].all(axis=-1)
        is_color = (pixels[..., :1] != pixels[..., 1:3]).any()
        pixels = pack_colors(pixels) if is_color else pixels[..., 0]
    if pixels.dtype.kind == "f" or pixels.dtype == np.uint64:
        floats = pixels.astype(np.float64)
        far = ~(abs(floats) <= LARGEST_WHOLE)  # nan is far
        if (~far & ~hidden & (floats != np.rint(floats))).any():
            raise DataError(f"{path}: mask values are integers, not {pixels.dtype} with fractions")
        pixels = np.where(far, floats.view(np.int64), np.where(far | hidden, 0, floats).astype(np.int64))
    return np.where(hidden, NODATA, pixels.astype(np.int64)) if hidden.any() else pixels, is_color


def describe_mask(picture: Picture, planes: NDArray, *, is_color: bool) -> MaskRecord:
    """The record of a mask whose codes are `planes`, HW integers; without tones."""
    equal = planes[:-1] == planes[1:]
    square = np.zeros(planes.shape, bool)
    square[:-1, :-1] = equal[:, :-1] & equal[:, 1:] & (planes[:-1, :-1] == planes[:-1, 1:])
    frame = np.concatenate([planes[0], planes[-1], planes[1:-1, 0], planes[1:-1, -1]])
    codes, pixels = count_values(planes)
    counts = np.zeros((len(codes), 3), np.int64)
    counts[:, 0] = pixels
    for column, chosen in ((1, planes[square]), (2, frame)):
        found, number = count_values(chosen)
        counts[np.searchsorted(codes, found), column] = number
    kept = np.sort(np.argsort(-pixels, kind="stable")[:KEPT_VALUES])
    palette = None
    if picture.palette is not None:
        colors = pack_colors(_colors_of(picture)[np.maximum(codes[kept], 0)]).astype(np.int64)
        palette = np.where(codes[kept] == NODATA, NODATA, colors)
    return MaskRecord(
        height=planes.shape[0], width=planes.shape[1], file_type=picture.file_type, is_color=is_color,
        codes=codes[kept], counts=counts[kept], tones=np.full((len(kept), 3), np.nan, np.float32), palette=palette,
        further_values=len(codes) - len(kept), further_pixels=int(pixels.sum() - pixels[kept].sum()),
        is_rgb=picture.pixels.ndim == 3, orientation=picture.orientation, band=picture.band,
    )  # fmt: skip


def count_thick(chosen: NDArray[np.bool_]) -> int:
    """How many of the chosen pixels, HW, a square fits into that is wider than a border: BORDER on either side of its
    middle (morphological opening). 0 where nearly all are: that is a mask without annotation."""
    if not 0 < chosen.mean() < MOSTLY:
        return 0
    side = 1 + 2 * max(2, round(BORDER * max(chosen.shape)))
    square = np.ones((side, side), np.uint8)
    padded = np.pad(chosen.astype(np.uint8), side)  # what lies at the frame is not continued beyond it
    return int(np.count_nonzero(cv2.morphologyEx(padded, cv2.MORPH_OPEN, square)))


def count_values(planes: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of an array of integers in rising order, and how often each occurs."""
    flat = planes.ravel()
    if flat.dtype == np.uint8:
        counts = np.bincount(flat, minlength=256)
        codes = np.flatnonzero(counts)
        return codes.astype(np.int64), counts[codes].astype(np.int64)
    codes, counts = np.unique(flat, return_counts=True)
    return codes.astype(np.int64), counts


def compute_tones(image: NDArray, planes: NDArray, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean color of an image (HWC, its first three channels) below each of these codes: float32 (n, 3), nan where
    none of the pixels that are looked at has the code."""
    step = max(1, math.isqrt(planes.size // TONE_SAMPLES))
    colors, chosen = image[::step, ::step].astype(np.float64), planes[::step, ::step]
    channels = range(3) if colors.shape[2] >= 3 else (0, 0, 0)
    with np.errstate(invalid="ignore"):
        means = [ndimage.mean(colors[..., channel], chosen, codes) for channel in channels]
    return np.stack(means, axis=1).astype(np.float32)


def compute_fit(turned: NDArray[np.uint8], planes: NDArray, orientation: int) -> float:
    """How much better a mask (HW) follows the edges of its image as stored than those of the image as EXIF turns it
    (HW gray): the mean gradient along the mask's edges by that of the whole image, of the one by the other. nan where
    a size does not match, or nothing has edges."""
    # Of the eight orientations only 6 and 8 are not their own inverse.
    stored = upright(turned, {6: 8, 8: 6}.get(orientation, orientation))
    agreement = _edge_agreement(turned, planes)
    return _edge_agreement(stored, planes) / agreement if agreement else math.nan


def _edge_agreement(gray: NDArray[np.uint8], planes: NDArray) -> float:
    if gray.shape != planes.shape:
        return math.nan
    step = max(1, max(gray.shape) // FIT_PX)
    gray, planes = np.ascontiguousarray(gray[::step, ::step]), planes[::step, ::step]
    smooth = cv2.GaussianBlur(gray, (0, 0), 1.5).astype(np.float32)
    gradient = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    edges = np.zeros(planes.shape, bool)
    edges[:-1] |= planes[:-1] != planes[1:]
    edges[:, :-1] |= planes[:, :-1] != planes[:, 1:]
    return float(gradient[edges].mean() / max(gradient.mean(), 1e-6)) if edges.any() else math.nan
