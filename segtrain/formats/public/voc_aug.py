"""PASCAL VOC 2012 with the additional annotations of SBD: 10582 training images instead of 1464."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from segtrain.errors import DataError
from segtrain.formats.list_file import read_name_list
from segtrain.formats.lists import listed_samples, read_lines, read_names
from segtrain.formats.sample import Paths, Sample, SampleTable, Splits, first_there, require_layout, require_path

SBD = "benchmark_RELEASE/dataset"
VAL_LIST = "ImageSets/Segmentation/val.txt"
OWN_FILES = ("JPEGImages/{name}.jpg", "SegmentationClass/{name}.png")  # VOC's own images and masks


def read(root: Path, *, annotations: Literal["png", "sbd"], train_list: Paths | None = None) -> Splits:
    """VOC 2012 with more training images. val is VOC's own, with its own masks; none of its images is used for
    training.

    png: root is the folder VOC2012, as for format voc, with the folder SegmentationClassAug next to SegmentationClass,
    and `train_list` is a list of the training images below root. A line is a name, or the paths of image and mask as in
    DeepLab's lists. An image that has no mask in SegmentationClassAug uses its mask in SegmentationClass.

    sbd: root is a folder that contains VOC2012 (or VOCdevkit/VOC2012) and benchmark_RELEASE, as published. Training
    images are those of VOC's train and of SBD's train and val, except those of VOC's val; the mask is VOC's if there is
    one, otherwise benchmark_RELEASE/dataset/cls/NAME.mat.
    """
    if annotations == "png":
        return _read_png(root, train_list)
    if train_list is not None:
        raise DataError("data.train_list: needs data.annotations: png; with sbd, the lists are those of VOC and SBD")
    return _read_sbd(root)


def _read_png(root: Path, train_list: Paths) -> Splits:
    require_layout(root, ["JPEGImages", "SegmentationClass", "SegmentationClassAug", VAL_LIST])
    path = require_path(root / first_there(root, train_list), "data.train_list")
    names = [(line, _name_in(text)) for line, text in read_lines(path)]
    _refuse_validation(root, path, names)
    samples = [(line, Sample(name, f"{root}/JPEGImages/{name}.jpg", _png_of(root, name))) for line, name in names]
    return {"train": listed_samples(path, samples), "val": read_name_list(root, root / VAL_LIST, *OWN_FILES)}


def _name_in(text: str) -> str:
    """The name in a line: 2007_000032, or /JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png."""
    return PurePosixPath(text.split()[0]).stem


def _png_of(root: Path, name: str) -> str:
    augmented, own = (f"{root}/{folder}/{name}.png" for folder in ("SegmentationClassAug", "SegmentationClass"))
    return own if os.path.exists(own) and not os.path.exists(augmented) else augmented


def _refuse_validation(root: Path, path: Path, names: Iterable[tuple[int, str]]) -> None:
    """Raises DataError where a list of training images names one of VOC's validation images."""
    held_out = {name: line for line, name in read_names(root / VAL_LIST)}
    leaked = [(line, name) for line, name in names if name in held_out]
    if leaked:
        line, name = leaked[0]
        raise DataError(
            f"{path}:{line}: {name} is a validation image ({root / VAL_LIST}:{held_out[name]}), like "
            f"{len(leaked)} name(s) in this list; remove them, because validation images must not be trained on"
        )


def _read_sbd(root: Path) -> Splits:
    require_layout(root, [f"{SBD}/cls"])
    inside = root / "VOCdevkit" / "VOC2012"
    voc_root = inside if inside.exists() else require_path(root / "VOC2012", "data.root")
    require_layout(voc_root, ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
    own_list = voc_root / "ImageSets/Segmentation/train.txt"
    _refuse_validation(voc_root, own_list, read_names(own_list))
    own, val = (read_name_list(voc_root, path, *OWN_FILES) for path in (own_list, voc_root / VAL_LIST))
    taken = {sample.name for table in (own, val) for sample in table}
    samples = list(own)
    for path in (root / SBD / "train.txt", root / SBD / "val.txt"):
        names = [(line, name) for line, name in read_names(path) if name not in taken]
        taken.update(name for _, name in names)
        samples += listed_samples(
            path,
            [
                (line, Sample(name, f"{voc_root}/JPEGImages/{name}.jpg", f"{root}/{SBD}/cls/{name}.mat"))
                for line, name in names
            ],
        )
    return {"train": SampleTable(samples), "val": val}
