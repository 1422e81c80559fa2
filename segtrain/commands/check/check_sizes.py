"""Size checks: the sizes of images against what transforms.train makes of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, count_of, yaml_fix
from segtrain.commands.check.yaml_lines import write_transforms
from segtrain.config.schema import Config
from segtrain.data.transforms import apply, build_transform
from segtrain.errors import ConfigError, DataError

TRIED_SIZES = 8
TRIED_SEEDS = 6  # a random scale must be given the chance to make an image too small
MUCH_LARGER = 36  # an image that holds so many crops is seen for a few percent in an epoch
CROPS = ("RandomCrop", "CropNonEmptyMaskIfExists", "CenterCrop")

Size = tuple[int, int]  # height and width
Item = str | dict[str, Any]  # of a list of transforms


def find_wrong_sizes(report: DatasetReport) -> Iterator[Finding]:
    """Crops that do not fit into the images, batches that cannot be stacked, and crops that show next to nothing."""
    config = report.config
    if config is None:
        return
    sizes = Counter((r.image.height, r.image.width) for r in report.records if r.split == "train" and r.image)
    if not sizes:
        return
    try:
        outcomes = {size: _find_outcomes(config, size) for size in _choose_sizes(sizes)}
    except ConfigError as error:
        yield Finding("error", "transforms.train cannot be built", str(error))
        return
    refused = {size: text for size, found in outcomes.items() for text in found if isinstance(text, str)}
    if refused:
        yield _describe_refused(report, refused)
        return
    made = {shape for found in outcomes.values() for shape in found}
    if len(made) > 1 and min(config.data.batch_size, sum(sizes.values())) > 1:
        yield _describe_unequal(sizes, made, config.transforms.train)
    else:
        yield from _find_much_larger(sizes, config.transforms.train)


def find_crop(items: Sequence[Item]) -> Size | None:
    """Height and width of the first crop in transforms.train."""
    return next((size for _, size in filter(None, map(_crop_of, items))), None)


def _choose_sizes(sizes: Counter[Size]) -> list[Size]:
    """The sizes to be tried: the smallest in each direction, the largest, and the most frequent."""
    extremes = [min(sizes), min(sizes, key=lambda size: size[1]), min(sizes, key=lambda s: s[0] * s[1]), max(sizes)]
    return list(dict.fromkeys([*extremes, *(size for size, _ in sizes.most_common(TRIED_SIZES))]))[:TRIED_SIZES]


def _find_outcomes(config: Config, size: Size) -> set[Size] | set[str]:
    """The sizes that transforms.train makes of an image of this one, or the error that it ends with."""
    pipeline = build_transform(config.transforms.train, ignore_index=config.data.ignore_index)
    image, mask = np.zeros((*size, config.data.channels), np.uint8), np.zeros(size, np.uint8)
    try:
        return {apply(pipeline, image, mask, seed)[1].shape for seed in range(TRIED_SEEDS)}
    except DataError as error:
        return {str(error)}


def _describe_refused(report: DatasetReport, refused: dict[Size, str]) -> Finding:
    items = report.config.transforms.train
    (height, width), text = min(refused.items())
    crops = find_crop(items) is not None
    return Finding(
        "error",
        f"transforms.train fails on images of {width} x {height}",
        "The crop is larger than the image. Padded pixels are ignored." if crops else f"{text}.",
        yaml_fix(*write_transforms([_padded(item) for item in items])) if crops else None,
        [
            f"{r.sample.image}: {r.image.width} x {r.image.height}"
            for r in report.records
            if r.split == "train" and r.image and (r.image.height, r.image.width) in refused
        ],
    )


def _split_item(item: Item) -> tuple[str, Any]:
    """The name of a transform and its arguments."""
    return (item, {}) if isinstance(item, str) else next(iter(item.items()))


def _crop_of(item: Item) -> tuple[str, Size] | None:
    """The name and size (height, width) of a crop in a list of transforms."""
    name, arguments = _split_item(item)
    if name in CROPS and isinstance(arguments, dict) and {"height", "width"} <= arguments.keys():
        return name, (arguments["height"], arguments["width"])
    return None


def _padded(item: Item) -> Item:
    crop = _crop_of(item)
    if crop is None:
        return item
    if crop[0] == "CropNonEmptyMaskIfExists":  # it cannot pad
        return {"RandomCrop": {"height": crop[1][0], "width": crop[1][1], "pad_if_needed": True}}
    return {crop[0]: item[crop[0]] | {"pad_if_needed": True}}


def _describe_unequal(sizes: Counter[Size], made: set[Size], items: Sequence[Item]) -> Finding:
    height, width = (max(32, min(512, min(side) // 32 * 32)) for side in zip(*sizes, strict=True))
    shown = ", ".join(f"{w} x {h}" for h, w in sorted(made)[:3])
    crop = {"RandomCrop": {"height": height, "width": width, "pad_if_needed": True}}
    return Finding(
        "error",
        f"The images of a batch would differ in size: {shown}{' and others' if len(made) > 3 else ''}",
        f"The set has {count_of(len(sizes), 'size')}, and transforms.train leaves them different. A crop fixes that.",
        yaml_fix(*write_transforms([*items, crop])),
    )


def _find_much_larger(sizes: Counter[Size], items: Sequence[Item]) -> Iterator[Finding]:
    """A crop that sees a few percent of an image, where no resizing goes before it."""
    crop, names = find_crop(items), [_split_item(item)[0] for item in items]
    if crop is None or any("Resize" in name or "MaxSize" in name for name in names):
        return
    height, width = sorted(sizes.elements())[sum(sizes.values()) // 2]
    ratio = height * width / (crop[0] * crop[1])
    if ratio < MUCH_LARGER:
        return
    larger = [max(side, min(1024, full // 4 // 32 * 32)) for side, full in zip(crop, (height, width), strict=True)]
    changed = [
        {name: item[name] | {"height": larger[0], "width": larger[1]}} if _crop_of(item) else item
        for name, item in zip(names, items, strict=True)
    ]
    yield Finding(
        "note",
        f"A crop of {crop[1]} x {crop[0]} shows {100 / ratio:.1f} % of an image of {width} x {height}",
        "An epoch sees each image once, and reads all of it for that. Take a larger crop, as the lines do, or cut "
        "the images into tiles once.",
        yaml_fix(*write_transforms(changed)),
    )
