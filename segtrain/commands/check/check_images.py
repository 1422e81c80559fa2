"""Image checks: images that training would refuse or misread, for their type or their channels."""

import functools
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, count_of, yaml_fix
from segtrain.commands.check.record import ImageRecord
from segtrain.errors import DataError
from segtrain.images.bands import WHITES
from segtrain.images.reading import read_image

DARK = 2  # images whose brightest value is this many times below white are nearly black in training
_COPIED_BYTE = 257  # 8 bits stretched to 16 have each byte twice


def find_deep_images(report: DatasetReport) -> Iterator[Finding]:
    """Images of more than 8 bits: the value that means white, and the bits that are really used."""
    deep = report.where(lambda r: r.image and r.image.dtype != "uint8")
    if not deep:
        return
    images = [report.records[index].image for index in deep]
    white, meaning = find_white(images)
    level, explanation = "note", f"{meaning}."
    title = f"{count_of(len(deep), 'image', 'is')} {', '.join(sorted({image.dtype for image in images}))}"
    if report.config is not None:
        scale = report.config.data.scale
        if scale is None:
            level, title = "error", f"{title}, and data.scale is missing"
            explanation = f"{meaning}. Training must know which value means white."
        elif scale >= DARK * white:
            level, title = "warning", f"data.scale is {scale:g}, but the images end at {white:g}"
            explanation = f"{meaning}. As it is, training sees them nearly black."
        else:
            return
    yield Finding(level, title, explanation, yaml_fix(data={"scale": white}), report.images_of(deep))


def find_white(images: Sequence[ImageRecord]) -> tuple[float, str]:
    """The value that most likely means white in images that are not 8 bit, and what they hold, in words."""
    high = max(image.high for image in images)
    used = functools.reduce(operator.or_, (image.used_bits for image in images))
    white = next((white for white in WHITES if high <= white), high)
    if not used:
        return white, f"Their values end at {high:g}"
    if all(_is_stretched(image) for image in images):
        return 65535, "They hold 8 bits, stretched to 16 (each byte twice)"
    spare = (used & -used).bit_length() - 1  # zeros below the lowest bit that is ever set
    if used.bit_length() == 16 and spare >= 2:
        return 65535, f"They hold {16 - spare} bits, moved up to 16"
    if used.bit_length() <= 14:
        return white, f"They hold {max(used.bit_length(), 8)} bits: no value is above {high:g}"
    return white, f"Their values end at {high:g}"


def _is_stretched(image: ImageRecord) -> bool:
    """Whether 16 bits are 8 bits written twice; the bits that occur at all are then the same in both bytes."""
    ends = (int(image.low), int(image.high), image.used_bits)
    return image.dtype == "uint16" and image.high > 255 and all(value % _COPIED_BYTE == 0 for value in ends)


def find_refused_images(report: DatasetReport) -> Iterator[Finding]:
    """Kinds of images that training does not read: one of each kind is read as it would."""
    if report.config is None:
        return
    data = report.config.data
    kinds: dict[tuple, list[int]] = {}
    for index, record in enumerate(report.records):
        image = record.image
        if image is not None and (image.dtype == "uint8" or data.scale is not None):
            kind = (image.file_type, image.channels, image.dtype, Path(record.sample.image).suffix.lower())
            kinds.setdefault(kind, []).append(index)
    for (file_type, channels, dtype, _), indices in kinds.items():
        try:
            read_image(report.records[indices[0]].sample.image, **data.image_options)
        except DataError as error:
            kind = f"{file_type}, {count_of(channels, 'channel')}, {dtype}"
            title = f"{count_of(len(indices), 'image')} ({kind}) would be refused"
            other = data.bands is None and data.channels != channels
            fix = yaml_fix(data={"channels": channels}) if other else None
            yield Finding("error", title, str(error), fix, report.images_of(indices))


def find_channel_statistics(report: DatasetReport) -> Iterator[Finding]:
    """Mean and standard deviation of the channels where images are not RGB and the experiment has none."""
    records, config = [record for record in report.records if record.image is not None], report.config
    channels, *others = {record.image.channels for record in records} or {3}
    if others or channels == 3:
        return
    if config is not None and (config.model.mean is not None or config.data.channels == 3 or config.data.bands):
        return
    scale = config.data.scale if config is not None else None
    if scale is None:
        wide = any(record.image.dtype != "uint8" for record in records)
        scale = find_white([record.image for record in records])[0] if wide else 255
    train = [record for record in records if record.split in ("train", "all")] or records
    mean, std = ((values / scale).round(4).tolist() for values in compute_statistics([r.image for r in train]))
    own = {} if config is not None else {"data": {"channels": channels}}
    yield Finding(
        "note",
        f"The images have {count_of(channels, 'channel')}, and no known mean",
        "An encoder knows the mean and standard deviation of RGB photographs alone. These are those of the "
        "training images.",
        yaml_fix(**own, model={"mean": mean, "std": std}),
    )


def compute_statistics(images: Sequence[ImageRecord]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over all pixels, in the values of the files; (channels,) each."""
    weights = np.array([image.height * image.width for image in images], np.float64)
    weights /= weights.sum()
    mean = weights @ np.array([image.mean for image in images])
    square = weights @ np.array([image.square for image in images])
    return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))
