"""SUN RGB-D: images and masks that are paired by their numbers, or by lists."""

import os
import re
from pathlib import Path

from segtrain.errors import DataError
from segtrain.formats import list_file
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout, split_by_fraction

LABELS = "sunrgbd_train_test_labels"
# The masks are numbered through: those of the 5050 test images come first, as the README of sunrgbd-meta-data says.
FIRST_LABEL = {"train": 5050, "test": 0}


def read(root: Path, *, files: dict[str, str] | None = None, val_fraction: float, seed: int = 0) -> Splits:
    """The published training and test images; `val_fraction` of the training images, and none of the test images, is
    held out for validation.

    `files` is the list of each split (a list val is used as is), with a line `image,mask` for each image, relative to
    `root`; the default is train.txt and test.txt, if they exist. Without lists, sunrgbd_train_image/img-N.jpg has mask
    N + 5050 of sunrgbd_train_test_labels, and sunrgbd_test_image/img-N.jpg has mask N: the same pairs.
    """
    if files is None:
        files = {split: f"{split}.txt" for split in FIRST_LABEL if (root / f"{split}.txt").exists()}
    if files:
        return list_file.read(root, files=files, val_fraction=None if "val" in files else val_fraction, seed=seed)
    require_layout(root, ["sunrgbd_train_image", LABELS])
    splits = {split: _pair(root, split) for split in FIRST_LABEL if (root / f"sunrgbd_{split}_image").is_dir()}
    return splits | split_by_fraction(splits["train"], val_fraction, seed)


def _pair(root: Path, split: str) -> SampleTable:
    """The images of a split with the masks of their numbers, in the order of the numbers."""
    folder = f"sunrgbd_{split}_image"
    masks = set(os.listdir(root / LABELS))
    samples = []
    for name in sorted(os.listdir(root / folder)):
        if not (match := re.fullmatch(r"img-(\d{6})\.jpg", name)):
            continue
        mask = f"img-{int(match[1]) + FIRST_LABEL[split]:06d}.png"
        if mask not in masks:
            raise DataError(f"data ({split}): {root}/{folder}/{name} has no mask {root}/{LABELS}/{mask}")
        samples.append(Sample(f"{folder}/img-{match[1]}", f"{root}/{folder}/{name}", f"{root}/{LABELS}/{mask}"))
    return SampleTable(samples)
