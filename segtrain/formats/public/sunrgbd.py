"""SUN RGB-D: indoor scenes from four depth cameras, here as RGB images with 37 classes.

Song, Lichtenberg, Xiao: SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite. CVPR, 2015. The images and masks in
flat folders are those of ankurhanda/sunrgbd-meta-data, and the lists those of dtrimina/pytorch_segmentation_tutorial.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.errors import DataError
from segtrain.formats import list_file
from segtrain.formats.dataset_info import About, Archive, Color, KnownClass, Labels
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout, split_by_fraction

# Names: seg37list.mat of the SUNRGBDtoolbox, as the README of sunrgbd-meta-data prints it, in the order of the values
# 1..37. The data set has no colours; these are those of TUI-NICR/ESANet, which others have taken over.
CLASSES: dict[str, Color] = {
    "wall": (119, 119, 119),
    "floor": (244, 243, 131),
    "cabinet": (137, 28, 157),
    "bed": (150, 255, 255),
    "chair": (54, 114, 113),
    "sofa": (0, 0, 176),
    "table": (255, 69, 0),
    "door": (87, 112, 255),
    "window": (0, 163, 33),
    "bookshelf": (255, 150, 255),
    "picture": (255, 180, 10),
    "counter": (101, 70, 86),
    "blinds": (38, 230, 0),
    "desk": (255, 120, 70),
    "shelves": (117, 41, 121),
    "curtain": (150, 255, 0),
    "dresser": (132, 0, 255),
    "pillow": (24, 209, 255),
    "mirror": (191, 130, 35),
    "floor_mat": (219, 200, 109),
    "clothes": (154, 62, 86),
    "ceiling": (255, 190, 190),
    "books": (255, 0, 255),
    "fridge": (152, 163, 55),
    "tv": (192, 79, 212),
    "paper": (230, 230, 230),
    "towel": (53, 130, 64),
    "shower_curtain": (155, 249, 152),
    "box": (87, 64, 34),
    "whiteboard": (214, 209, 175),
    "person": (170, 0, 59),
    "night_stand": (255, 0, 0),
    "toilet": (193, 195, 234),
    "sink": (70, 72, 115),
    "lamp": (255, 255, 0),
    "bathtub": (52, 57, 131),
    "bag": (12, 83, 45),
}
LABELS = "sunrgbd_train_test_labels"
# The masks are numbered through: those of the 5050 test images come first, as the README of sunrgbd-meta-data says.
FIRST_LABEL = {"train": 5050, "test": 0}

ABOUT = About(
    title="SUN RGB-D: 37 classes of indoor scenes, RGB images",
    layout=(
        "sunrgbd_train_image/img-000001.jpg, sunrgbd_test_image/img-000001.jpg",
        f"{LABELS}/img-000001.png: 1..5050 of the test images, 5051..10335 of the training images",
        "train.txt and test.txt with a line `image,mask` for each image (may be left out)",
    ),
    images={"train": 5285, "test": 5050},
    licence="not stated; its authors ask to be cited",
    home="https://rgbd.cs.princeton.edu/",
    archives=(
        Archive("http://www.doc.ic.ac.uk/~ahanda/SUNRGBD-train_images.tgz", folder="sunrgbd_train_image"),
        Archive("http://www.doc.ic.ac.uk/~ahanda/SUNRGBD-test_images.tgz", folder="sunrgbd_test_image"),
        Archive(
            "https://github.com/ankurhanda/sunrgbd-meta-data/raw/master/sunrgbd_train_test_labels.tar.gz",
            folder=LABELS,
        ),
    ),
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """Values 1..37; 0 is unlabelled."""
    classes = [KnownClass(name, color, (value,)) for value, (name, color) in enumerate(CLASSES.items(), start=1)]
    return Labels(tuple(classes), ignore_values=(0,))


def read(root: Path, *, files: dict[str, str] | None = None, val_fraction: float = 0.2, seed: int = 0) -> Splits:
    """The published training and test images; `val_fraction` of the training images is held out for validation, never
    any of the test images.

    `files` is the list of each split (a list val is used as it is), with a line `image,mask` for each image, relative
    to `root`; without it they are train.txt and test.txt where they are there. Without lists,
    sunrgbd_train_image/img-N.jpg has the mask N + 5050 of sunrgbd_train_test_labels, and sunrgbd_test_image/img-N.jpg
    the mask N: the same pairs.
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
    matches = [re.fullmatch(r"img-(\d{6})\.jpg", name) for name in sorted(os.listdir(root / folder))]
    masks = set(os.listdir(root / LABELS))
    samples = []
    for match in filter(None, matches):
        mask = f"img-{int(match[1]) + FIRST_LABEL[split]:06d}.png"
        if mask not in masks:
            raise DataError(f"data ({split}): {root}/{folder}/{match[0]} has no mask {root}/{LABELS}/{mask}")
        samples.append(Sample(f"{folder}/img-{match[1]}", f"{root}/{folder}/{match[0]}", f"{root}/{LABELS}/{mask}"))
    return SampleTable(samples)
