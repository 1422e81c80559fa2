"""Image checks: images that training would refuse or misread, for their type, their channels or their size."""

import functools
import math
import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import ImageRecord
from segtrain.commands.check.finding import Finding, Fix, yaml_fix
from segtrain.data.transforms import TransformItem, apply, build_transform, transform_names
from segtrain.errors import ConfigError, DataError, count_of
from segtrain.images.bands import WHITES
from segtrain.images.reading import read_image

DARK = 2  # images whose brightest value is this many times below white are nearly black in training
_COPIED_BYTE = 257  # 8 bits stretched to 16 have each byte twice
FREQUENT_SIZES = 5
TRIED_SEEDS = 6  # a random scale must be given the chance to make an image too small
MUCH_LARGER = 36  # an image that holds so many crops is seen for a few percent in an epoch
CROPS = ("RandomCrop", "CropNonEmptyMaskIfExists", "CenterCrop")
Size = tuple[int, int]  # height and width


def find_deep_images(report: DatasetReport) -> Iterator[Finding]:
    """Images of more than 8 bits: the value that means white, and the bits that are really used."""
    deep = report.where(lambda r: r.image and r.image.dtype != "uint8")
    if not deep:
        return
    images = [report.records[index].image for index in deep]
    in_bytes = report.config is not None and report.config.data.scale == 255
    if len(deep) < len(report.where(lambda r: r.image is not None)) and not in_bytes:
        yield _describe_mixed(report, deep)
        return
    white, meaning = find_white(images)
    level, explanation = "note", f"{meaning}."
    title = f"{count_of(len(deep), 'image', 'is')} {', '.join(sorted({image.dtype for image in images}))}"
    if report.config is not None:
        scale = report.config.data.scale
        if scale is None:
            level, title = "error", f"{title}, and data.scale is missing"
            explanation = f"{meaning}. Training needs to know which value means white."
        elif scale >= DARK * white:
            level, title = "warning", f"data.scale is {scale:g}, but the images end at {white:g}"
            explanation = f"{meaning}. Now, training sees them nearly black."
        else:
            return
    yield report.finding(level, title, explanation, yaml_fix(data={"scale": white}), images=deep)


def _describe_mixed(report: DatasetReport, deep: list[int]) -> Finding:
    """Images of 8 bits beside deeper ones; the files are those that are in the minority."""
    plain = report.where(lambda r: r.image and r.image.dtype == "uint8")
    dtypes = ", ".join(sorted({report.records[index].image.dtype for index in deep}))
    return report.finding(
        "error",
        f"{count_of(len(deep), 'image', 'is')} {dtypes}, {len(plain):,} {'is' if len(plain) == 1 else 'are'} uint8",
        "data.scale, the value that means white, applies to all images, so training rejects the others. Export all "
        "images with the same type.",
        images=min(deep, plain, key=len),
    )


def find_white(images: Sequence[ImageRecord]) -> tuple[float, str]:
    """The value that most likely means white in images that are not 8 bit, and what they hold, in words."""
    high = max(image.high for image in images)
    used = functools.reduce(operator.or_, (image.used_bits for image in images))
    white = next((white for white in WHITES if high <= white), high)
    if not used:
        return white, f"Their values end at {high:g}"
    # of 8 bits written twice, the bits that occur at all are the same in both bytes
    ends = [value for image in images for value in (image.low, image.high, image.used_bits)]
    if all(i.dtype == "uint16" and i.high > 255 for i in images) and not any(end % _COPIED_BYTE for end in ends):
        return 65535, "They contain 8 bits, stretched to 16 (each byte twice)"
    spare = (used & -used).bit_length() - 1  # zeros below the lowest bit that is ever set
    if used.bit_length() == 16 and spare >= 2:
        return 65535, f"They contain {16 - spare} bits, shifted up to 16"
    if used.bit_length() <= 14:
        return white, f"They contain {max(used.bit_length(), 8)} bits: no value is above {high:g}"
    return white, f"Their values end at {high:g}"


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
            title = f"{count_of(len(indices), 'image')} ({kind}) would be rejected"
            other = data.bands is None and data.channels != channels
            fix = yaml_fix(data={"channels": channels}) if other else None
            yield report.finding("error", title, str(error), fix, images=indices)


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
        f"The images have {count_of(channels, 'channel')}, with unknown mean",
        "Mean and standard deviation are known only for RGB photographs. The lines below have those of the training "
        "images.",
        yaml_fix(**own, model={"mean": mean, "std": std}),
    )


def compute_statistics(images: Sequence[ImageRecord]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over all pixels, in the values of the files; (channels,) each."""
    weights = np.array([image.height * image.width for image in images], np.float64)
    weights /= weights.sum()
    mean = weights @ np.array([image.mean for image in images])
    square = weights @ np.array([image.square for image in images])
    return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))


def find_wrong_sizes(report: DatasetReport) -> Iterator[Finding]:
    """Crops that do not fit into the images, batches that cannot be stacked, and crops that show next to nothing."""
    config = report.config
    if config is None:
        return
    sizes = Counter((r.image.height, r.image.width) for r in report.records if r.split == "train" and r.image)
    if not sizes:
        return
    items, made, refused = config.transforms.train, set(), {}
    try:
        pipeline = build_transform(items, ignore_index=config.data.ignore_index)
    except ConfigError as error:
        yield Finding("error", "transforms.train cannot be built", str(error))
        return
    # the smallest in each direction, the largest, and the most frequent
    chosen = [min(sizes), min(sizes, key=lambda size: size[1]), min(sizes, key=lambda s: s[0] * s[1]), max(sizes)]
    for size in dict.fromkeys([*chosen, *(size for size, _ in sizes.most_common(FREQUENT_SIZES))]):
        image, mask = np.zeros((*size, config.data.channels), np.uint8), np.zeros(size, np.uint8)
        try:
            made |= {apply(pipeline, image, mask, seed)[1].shape for seed in range(TRIED_SEEDS)}
        except DataError as error:
            refused[size] = str(error)
    if refused:
        yield _describe_refused(report, refused)
    elif len(made) > 1 and config.data.batch_size != 1 and sum(sizes.values()) > 1:
        yield _describe_unequal(sizes, made, items)
    else:
        yield from _find_much_larger(sizes, items)


def find_crops(items: Sequence[TransformItem]) -> dict[int, Size]:
    """Height and width of the crops in transforms.train, by their index."""
    crops = {}
    for index, item in enumerate(items):
        name, arguments = next(iter(item.items())) if isinstance(item, dict) else (item, None)
        if name in CROPS and isinstance(arguments, dict) and {"height", "width"} <= arguments.keys():
            crops[index] = (arguments["height"], arguments["width"])
    return crops


def _change_crops(items: Sequence[TransformItem], **changes: int) -> Fix:
    """The lines of transforms.train in which the crops have other arguments."""
    changed = list(items)
    for index, (height, width) in find_crops(items).items():
        ((name, arguments),) = items[index].items()
        if "pad_if_needed" in changes and name == "CropNonEmptyMaskIfExists":  # it cannot pad
            name, arguments = "RandomCrop", {"height": height, "width": width}
        changed[index] = {name: arguments | changes}
    return yaml_fix(transforms={"train": changed})


def _describe_refused(report: DatasetReport, refused: dict[Size, str]) -> Finding:
    items = report.config.transforms.train
    (height, width), text = min(refused.items())
    crops = find_crops(items)
    images = [(r.sample.image, r.image.height, r.image.width) for r in report.records if r.split == "train" and r.image]
    return Finding(
        "error",
        f"transforms.train fails on images of {width} x {height}",
        "The crop is larger than the image. The line below pads; padded pixels are ignored." if crops else f"{text}.",
        _change_crops(items, pad_if_needed=True) if crops else None,
        [f"{file}: {width} x {height}" for file, height, width in images if (height, width) in refused],
    )


def _describe_unequal(sizes: Counter[Size], made: set[Size], items: Sequence[TransformItem]) -> Finding:
    height, width = (max(32, min(512, min(side) // 32 * 32)) for side in zip(*sizes, strict=True))
    shown = ", ".join(f"{w} x {h}" for h, w in sorted(made)[:3])
    crop = {"RandomCrop": {"height": height, "width": width, "pad_if_needed": True}}
    return Finding(
        "error",
        f"The images of a batch would differ in size: {shown}{' and others' if len(made) > 3 else ''}",
        f"The set has {count_of(len(sizes), 'size')}, and transforms.train does not make them equal. A crop does.",
        yaml_fix(transforms={"train": [*items, crop]}),
    )


def _find_much_larger(sizes: Counter[Size], items: Sequence[TransformItem]) -> Iterator[Finding]:
    """A crop that sees a few percent of an image, where no resizing goes before it."""
    crops = [*find_crops(items).values()]
    if not crops or any("Resize" in name or "MaxSize" in name for name in transform_names(items)):
        return
    crop, full = crops[0], sorted(sizes.elements())[sum(sizes.values()) // 2]
    ratio = math.prod(full) / math.prod(crop)
    if ratio < MUCH_LARGER:
        return
    height, width = (max(side, min(1024, whole // 4 // 32 * 32)) for side, whole in zip(crop, full, strict=True))
    yield Finding(
        "note",
        f"A crop of {crop[1]} x {crop[0]} shows {100 / ratio:.1f} % of an image of {full[1]} x {full[0]}",
        "An epoch uses each image once, and must read all of it. Use a larger crop, as in the lines below, or write "
        "data.tile: 1024, which takes a crop from each window of an image.",
        _change_crops(items, height=height, width=width),
    )
