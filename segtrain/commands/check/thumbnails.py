"""Small pictures of samples for the page: the image, and its mask laid over it."""

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import Examiner, to_channels
from segtrain.commands.check.labelling import IGNORED, UNCLAIMED, Labelling
from segtrain.commands.check.pool import count_cores
from segtrain.commands.check.raw_pictures import read_picture
from segtrain.errors import DataError
from segtrain.images.bands import upright
from segtrain.visualize import ERROR_COLOR, default_colors

SIDE_PX = 300
ALPHA = 0.55
_MARK_PX = 13  # how large a single marked pixel is drawn
_CLIPPED = (1, 99)  # percentiles that become black and white where images are not 8 bit


def draw_samples(
    report: DatasetReport, examiner: Examiner, wanted: Iterable[tuple[int, frozenset[int]]]
) -> dict[tuple[int, frozenset[int]], str]:
    """Data addresses of pictures by (index of the record, marked values): the image beside its overlay. What cannot be
    read is left out."""
    wanted = list(dict.fromkeys(wanted))
    with ThreadPoolExecutor(count_cores()) as pool:
        drawn = pool.map(lambda item: _draw(report, examiner, *item), wanted)
        return {item: address for item, address in zip(wanted, drawn, strict=True) if address}


def _draw(report: DatasetReport, examiner: Examiner, index: int, marked: frozenset[int]) -> str:
    sample = report.records[index].sample
    panels = []
    try:
        picture = read_picture(sample.image)
        panels.append(_reduce(to_display(upright(to_channels(picture, examiner.channels), picture.orientation))))
    except (DataError, MemoryError):
        pass
    try:
        record, planes = examiner.read_mask(sample)
        painted, known = paint(planes, report.labelling, is_color=record.is_color, marked=marked)
        if panels and report.records[index].is_pair:
            height, width = panels[0].shape[:2]
            painted, known = (_pick(array, height, width) for array in (painted, known))
            blend = (1 - ALPHA) * panels[0] + ALPHA * painted
            painted = np.where(known[..., None], blend, panels[0]).astype(np.uint8)
            if marked:
                painted[_grow(np.isin(planes, list(marked)), height, width)] = ERROR_COLOR
        else:
            painted = _pick(painted, *_reduced(painted.shape))
        panels.append(painted)
    except (DataError, MemoryError):
        pass
    return encode(panels) if panels else ""


def paint(
    planes: NDArray, labelling: Labelling | None, *, is_color: bool, marked: frozenset[int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A mask (HW codes) in the colours of its classes, HWC uint8, and where it is not ignored, HW. What nothing claims
    has the colour of errors; without classes every value has a colour of its own."""
    codes, index = np.unique(planes, return_inverse=True)
    index = index.reshape(planes.shape)
    if is_color and (labelling is None or not labelling.as_color):
        colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
        return colors[index], np.ones(planes.shape, bool)
    if labelling is None:
        return np.array(default_colors(len(codes)), np.uint8)[index], np.ones(planes.shape, bool)
    read = codes * 0x010101 if labelling.as_color and not is_color else codes
    which = labelling.indices_of(read.astype(np.int64))
    which[np.isin(codes, list(marked))] = UNCLAIMED
    colors = np.array([*labelling.colors, ERROR_COLOR, (0, 0, 0)], np.uint8)
    shown = which != IGNORED
    if labelling.binary or labelling.multilabel:  # the background is shown as it is
        shown &= which != (0 if labelling.binary else UNCLAIMED)
    return colors[which][index], shown[index]


def to_display(pixels: NDArray) -> NDArray[np.uint8]:
    """An image HWC of any type and number of channels as HWC uint8 RGB."""
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
    if pixels.dtype == np.uint8:
        return pixels
    pixels = np.nan_to_num(pixels.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(pixels, _CLIPPED)
    return (np.clip((pixels - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def _reduced(shape: Sequence[int]) -> tuple[int, int]:
    scale = min(1.0, SIDE_PX / max(shape[:2]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _reduce(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = _reduced(image.shape)
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA)


def _pick(array: NDArray, height: int, width: int) -> NDArray:
    """Rows and columns of an array, so that no value is invented."""
    rows = np.arange(height) * array.shape[0] // height
    return array[rows[:, None], np.arange(width) * array.shape[1] // width]


def _grow(chosen: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The chosen pixels of a mask in a picture of height x width; a few are drawn large enough to be seen."""
    shrunk = cv2.resize(chosen.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
    size = _MARK_PX if shrunk.mean() < 0.001 else 1
    return cv2.dilate(shrunk.astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def encode(panels: Sequence[NDArray[np.uint8]]) -> str:
    """Pictures side by side as a JPEG in a data address."""
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - panel.shape[0]), (0, 0), (0, 0)), constant_values=128) for panel in panels]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(padded, axis=1)).save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def choose_samples(report: DatasetReport, count: int) -> list[int]:
    """Places of records that show the set: one for each class, the rarest first and where it is large beside others,
    then more in even steps."""
    if not report.records:
        return []
    indices = [index for index, record in enumerate(report.records) if record.is_pair]
    chosen: list[int] = []
    pixels = report.class_pixels * (report.class_pixels > 0).sum(axis=1, keepdims=True)
    for name in np.argsort(report.class_pixels.sum(axis=0)):
        best = int(pixels[:, name].argmax())
        if len(chosen) < count * 2 // 3 and pixels[best, name] and report.records[best].is_pair:
            chosen.append(best)
    chosen = list(dict.fromkeys(chosen))
    rest = [index for index in indices if index not in set(chosen)]
    number = min(count - len(chosen), len(rest))
    chosen += [rest[index * len(rest) // number] for index in range(number)]
    return sorted(set(chosen))
