"""CVAT: polygons, boxes, ellipses and masks of an annotations.xml, "CVAT for images 1.1"."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from segtrain.errors import DataError, name_some
from segtrain.formats import polygons
from segtrain.formats.coco_images import ImageFinder
from segtrain.formats.cvat_file import CVAT_LINES, CvatFile, CvatImage, parse_color, read_cvat
from segtrain.formats.sample import SPLIT_NAMES, Label, Sample, SampleTable, Splits, hold_out, require_layout

read_mask = polygons.read_mask


def read(
    root: Path,
    *,
    annotations: str | dict[str, str] = "annotations.xml",
    images: str | dict[str, str] = "images",
    lines: Literal["error", "skip"] = "error",
    boxes: Literal["error", "draw"] | None = None,
    unlabeled: Literal["background", "ignore"] = "background",
    other_labels: Literal["error", "background", "ignore"] = "error",
    val_fraction: float | None = None,
    classes: Sequence[Any],
    seed: int = 0,
) -> Splits:
    """The images of a CVAT annotations.xml ("CVAT for images 1.1"): one file for each split, or one for all.

    `annotations` are files below `root`, and `images` are the folders of their images: one for each split, or one for
    all. In a single file, the subsets of a project are the splits if they are called Train, Validation and Test;
    otherwise `val_fraction` (0.2 by default) is held out. If there is a train but no val, `val_fraction` of train is
    held out if you write it. A class consists of the objects with one of its `labels`, by default its own name. Objects
    with a higher z_order are drawn over others, and later ones over earlier ones.

    `lines`: whether polylines, points, skeletons and cuboids, which cover no area, are an error or skipped. `boxes`:
    whether rectangles are an error or drawn; by default they are drawn if there are other shapes too, and an error if
    there are not. `unlabeled`: whether pixels outside all objects are the class named background (0 in a binary task)
    or ignored. `other_labels`: what to do with objects that no class claims.

    If an image is not at the path in its name, the only file of that name below `images` is used. Raises DataError for
    a file of another type or version, for images that are missing, duplicated, or have another size, and for invalid
    objects.
    """
    legend = polygons.read_legend(classes, unlabeled=unlabeled, other_labels=other_labels)
    files = annotations if isinstance(annotations, dict) else {"": annotations}
    folders = images if isinstance(images, dict) else dict.fromkeys(files, images)
    if folders.keys() != files.keys() or ("" not in files and "train" not in files):
        raise DataError("data.annotations, data.images: write a file and a folder, or {train: .., val: ..} for each")
    require_layout(root, [*files.values(), *folders.values()])
    tables: Splits = {}
    for split, file in files.items():
        path = root / file
        content = read_cvat(path)
        _refuse_shapes(path, content, lines=lines, boxes=boxes)
        labels = Counter(
            s.label for i in content.images for s in i.shapes if s.label not in legend.values and s.outline
        )
        if legend.other is None:
            polygons.refuse_unclaimed(path, labels, legend)
        samples = _samples(path, content.images, root / folders[split], legend)
        tables |= {split: SampleTable(samples)} if split else _by_subset(content.images, samples)
    return hold_out(tables, val_fraction, seed)


def find_labels(root: Path, *, annotations: str | dict[str, str] = "annotations.xml") -> list[Label]:
    """The labels of the files, in their order. Raises DataError as read does."""
    colors: dict[str, str] = {}
    counts: Counter[tuple[str, bool]] = Counter()
    for file in annotations.values() if isinstance(annotations, dict) else [annotations]:
        content = read_cvat(root / file)
        colors |= {name: color for name, color in content.labels.items() if name not in colors}
        counts.update((shape.label, bool(shape.outline)) for image in content.images for shape in image.shapes)
    names = dict.fromkeys([*colors, *(name for name, _ in counts)])
    return [Label(n, counts[n, True], parse_color(colors.get(n, "")), counts[n, False]) for n in names]


def _refuse_shapes(path: Path, content: CvatFile, *, lines: str, boxes: str | None) -> None:
    kinds = Counter(shape.kind for image in content.images for shape in image.shapes)
    found = [f"{kind} ({count})" for kind, count in kinds.most_common() if kind in CVAT_LINES]
    if found and lines == "error":
        raise DataError(
            f"{path}: {name_some(found)} do not cover an area; draw polygons or masks, or write data.lines: skip"
        )
    only_boxes = kinds["box"] == sum(count for kind, count in kinds.items() if kind not in CVAT_LINES)
    if kinds["box"] and (boxes == "error" or (boxes is None and only_boxes)):
        raise DataError(
            f"{path}: has {'only ' if only_boxes else ''}boxes ({kinds['box']}), which make masks rectangular; "
            "draw polygons or masks in CVAT, or write data.boxes: draw"
        )


def _samples(path: Path, images: Sequence[CvatImage], folder: Path, legend: polygons.Legend) -> list[Sample]:
    finder, missing, samples, owners = ImageFinder(folder), [], [], {}
    for image in images:
        file = finder.find(f"{image.subset}/{image.name}") if image.subset else None
        file = file or finder.find(image.name)
        if file is None:
            missing.append(image.name)
            continue
        name = polygons.name_of(file)
        if owners.setdefault(name, image) is not image:
            raise DataError(f"{path}: contains the image {image.name} twice; export the task again")
        objects = [
            (legend.values.get(shape.label, legend.other), shape.name, shape.outline)
            for shape in sorted(image.shapes, key=lambda shape: shape.z_order)
            if shape.outline
        ]
        mask = polygons.to_text(
            path,
            image=os.path.join(folder, file),
            size=image.size,
            outside=legend.outside,
            objects=objects,
            largest_first=False,
        )
        samples.append(Sample(name, os.path.join(folder, file), mask))
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(images)} images are not in {folder}: {name_some(missing)}"
            f'{finder.describe_doubles()}; export with "Save images", or copy them there'
        )
    return samples


def _by_subset(images: Sequence[CvatImage], samples: Sequence[Sample]) -> Splits:
    """The splits that the subsets of a project are called after; one split "" where one of them is no split."""
    splits = [SPLIT_NAMES.get(image.subset.casefold(), "") for image in images]
    if "" in splits or "train" not in splits:
        return {"": SampleTable(samples)}
    pairs = [*zip(splits, samples, strict=True)]
    return {split: SampleTable(s for own, s in pairs if own == split) for split in dict.fromkeys(splits)}
