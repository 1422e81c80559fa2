"""Size checks: the sizes of images against what transforms.train makes of them."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, Fix, count_of, yaml_fix
from segtrain.config.schema import Config
from segtrain.data.transforms import TransformItem, apply, build_transform, transform_names
from segtrain.errors import ConfigError, DataError

TRIED_SIZES = 8
TRIED_SEEDS = 6  # a random scale must be given the chance to make an image too small
MUCH_LARGER = 36  # an image that holds so many crops is seen for a few percent in an epoch
CROPS = ("RandomCrop", "CropNonEmptyMaskIfExists", "CenterCrop")

Size = tuple[int, int]  # height and width


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
    crops = find_crops(items)
    images = [(r.sample.image, r.image.height, r.image.width) for r in report.records if r.split == "train" and r.image]
    return Finding(
        "error",
        f"transforms.train fails on images of {width} x {height}",
        "The crop is larger than the image. Padded pixels are ignored." if crops else f"{text}.",
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
        f"The set has {count_of(len(sizes), 'size')}, and transforms.train leaves them different. A crop fixes that.",
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
        "An epoch sees each image once, and reads all of it for that. Take a larger crop, as the lines do, or cut "
        "the images into tiles once.",
        _change_crops(items, height=height, width=width),
    )
