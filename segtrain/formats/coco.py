"""Annotation files of COCO: objects as polygons or runs, or panoptic pictures. COCO itself, and what others export.

Lin, Maire, Belongie, Bourdev, Girshick, Hays, Perona, Ramanan, Zitnick, Dollar: Microsoft COCO: Common Objects in
Context. ECCV, 2014. Panoptic: Kirillov, He, Girshick, Rother, Dollar: Panoptic Segmentation. CVPR, 2019. The layout of
the files: https://cocodataset.org/#format-data.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segtrain.errors import DataError
from segtrain.formats import polygons
from segtrain.formats.coco_file import COCO_FILE, COCO_LISTS, read_file
from segtrain.formats.sample import Label, Splits, hold_out, require_layout

if TYPE_CHECKING:
    import numpy as np


def read(
    root: Path,
    *,
    annotations: str | dict[str, str],
    images: str | dict[str, str],
    panoptic: str | dict[str, str] | None = None,
    unlabeled: Literal["background", "ignore"] = "background",
    other_labels: Literal["error", "background", "ignore"] = "error",
    crowd: Literal["ignore", "class"] | None = None,
    val_fraction: float | None = None,
    classes: Sequence[Any],
    seed: int = 0,
    notes: list[str] | None = None,
    thorough: bool = False,
) -> Splits:
    """Images and the objects of a JSON file: one file for each split, or one for all.

    `annotations` are files below `root`, and `images` are the folders below it to which file_name is relative: one
    folder for each split, or one for all. For Roboflow they are `annotations: {train: train/_annotations.coco.json,
    val: valid/_annotations.coco.json}` with `images: {train: train, val: valid}`. A class consists of the objects whose
    category is one of its `labels`, by default its own name. Objects are polygons or run lengths (counts, compressed or
    not); small objects are drawn over large ones. For panoptic files, `panoptic` are the folders of their PNG files.
    `val_fraction` of the single file (0.2 by default), or of train if there is no val, is held out for validation.

    `unlabeled`: whether pixels outside all objects are the class named background (0 in a binary task) or ignored.
    `other_labels`: what to do with objects that no class claims; by default an error. `crowd`: whether regions with
    iscrowd: 1 are ignored or count as their class; by default they are ignored, with a warning that says how many there
    are (CVAT marks painted regions this way).

    An image without objects is entirely unlabeled; polygons with fewer than three points are skipped. If an image is
    not at the path in file_name, the only file of that name below `images` is used (for paths of Windows and of Label
    Studio). Raises DataError for boxes without a segmentation, for unknown ids, for images that are missing or have
    another size, and if bbox, area and image size show that most outlines are not in pixels of their images.
    """
    legend = polygons.read_legend(classes, unlabeled=unlabeled, other_labels=other_labels)
    report = {"notes": notes, "thorough": thorough}
    paths = _by_split(annotations, images, panoptic)
    require_layout(root, [path for split in paths.values() for path in split if path is not None])
    tables = {
        split: read_file(root / file, root / folder, pictures and root / pictures, legend, crowd=crowd, **report)
        for split, (file, folder, pictures) in paths.items()
    }
    return hold_out(tables, val_fraction, seed)


def find_labels(root: Path, *, annotations: str | dict[str, str]) -> list[Label]:
    """The categories of the files in their order. Raises DataError for what is not an annotation file."""
    counts: Counter[str] = Counter()
    colors: dict[str, Any] = {}
    for file in annotations.values() if isinstance(annotations, dict) else [annotations]:
        content = polygons.load_json(root / file, COCO_FILE, lists=COCO_LISTS)
        names = {}
        for record in content["categories"]:
            if isinstance(record, dict) and isinstance(record.get("name"), str | int):
                names[json.dumps(record.get("id"))] = str(record["name"])
                colors.setdefault(str(record["name"]), record.get("color"))
        keys = (json.dumps(item.get("category_id")) for item in content["annotations"] if isinstance(item, dict))
        counts.update(names[key] for key in keys if key in names)
    return [Label(name, counts[name], _color_of(color)) for name, color in colors.items()]


def _color_of(written: Any) -> tuple[int, int, int] | None:
    """A color [r, g, b], as COCO's panoptic categories have it."""
    is_color = isinstance(written, list) and len(written) == 3
    return tuple(written) if is_color and all(value in range(256) for value in written) else None


def _by_split(*written: str | dict[str, str] | None) -> dict[str, tuple[str | None, ...]]:
    """File and folders of each split, one text standing for all of them; the split is "" where there is one file."""
    splits = list(written[0]) if isinstance(written[0], dict) else [""]
    by_split = [paths if isinstance(paths, dict) else dict.fromkeys(splits, paths) for paths in written]
    wanted = "train" if isinstance(written[0], dict) else ""
    if wanted not in splits or any(paths.keys() != set(splits) for paths in by_split):
        raise DataError(
            "data.annotations, data.images, data.panoptic: write a file and a folder, or {train: .., val: ..} for each"
        )
    return {split: tuple(paths[split] for paths in by_split) for split in splits}


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """HW uint16: the index of each pixel's class in data.classes, from 1 where there is one class alone, and 65535
    where it is ignored. Raises DataError for what is broken. There are no colors."""
    import numpy as np

    from segtrain.images import reading

    files, _, text = mask.partition("\t")
    file = files.partition("\n")[0]
    if '"png":' not in text:
        return polygons.read_mask(mask, as_color=as_color)
    content = json.loads(text)
    size = polygons.require_size(file, content["image"], content["size"])
    png = reading.read_mask(content["png"], as_color=True).astype(np.int32)
    if png.shape[:2] != size:
        height, width = png.shape[:2]
        raise DataError(f"{content['png']}: is {width} x {height} pixels, but {content['image']} {size[1]} x {size[0]}")
    segments = png @ np.array([1, 256, 256**2], np.int32)
    known, values = np.array(sorted(content["known"])).T
    indices = np.searchsorted(known, segments).clip(max=len(known) - 1)
    if (known[indices] != segments).any():
        unknown = segments[known[indices] != segments][0]
        raise DataError(f"{content['png']}: {file} has no segment {unknown}, which occurs in it")
    return values.astype(np.uint16)[indices]
