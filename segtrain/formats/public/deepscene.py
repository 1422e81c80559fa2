"""Freiburg Forest: forest tracks from a driving robot, here the RGB images with 6 classes.

Valada, Oliveira, Brox, Burgard: Deep Multispectral Semantic Scene Understanding of Forested Environments using
Multimodal Fusion. ISER, 2016. Colours and counts are those of the README in the archive; it gives void no colour, and
loaders of others (ethz-asl/modular_semantic_segmentation) take white for it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.errors import DataError
from segtrain.formats.dataset_info import About, KnownClass, Labels
from segtrain.formats.sample import IMAGE_SUFFIXES, Sample, SampleTable, Splits, require_layout, split_by_fraction

CLASSES = (
    KnownClass("road", (170, 170, 170)),
    KnownClass("grass", (0, 255, 0)),
    KnownClass("vegetation", (102, 102, 51)),
    KnownClass("tree", (0, 60, 0)),
    KnownClass("sky", (0, 120, 255)),
    KnownClass("obstacle", (0, 0, 0)),
)
VOID = (255, 255, 255)

ABOUT = About(
    title="Freiburg Forest (DeepScene): 6 classes of forest tracks, RGB images",
    layout=(
        "{train,test}/rgb/b1-09517_Clipped.jpg",
        "{train,test}/GT_color/b1-09517_Clipped.png or b1-09517_mask.png: colours",
    ),
    images={"train": 230, "test": 136},
    licence="see its home page",
    home="http://deepscene.cs.uni-freiburg.de/",
    by_hand="run http://deepscene.cs.uni-freiburg.de/static/datasets/download_freiburg_forest_annotated.sh and unpack "
    "freiburg_forest_annotated.tar.gz, which it puts together from three parts",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """The six published colours; white is void."""
    return Labels(CLASSES, ignore_values=(VOID,))


def read(root: Path, *, val_fraction: float = 0.2, seed: int = 0) -> Splits:
    """{train,test}/rgb/FRAME_Clipped.jpg with {train,test}/GT_color/FRAME_mask.png or FRAME_Clipped.png; what names an
    image is its FRAME, like b1-09517.

    `val_fraction` of the training images is held out for validation, never any of the test images; frames that begin
    alike (b1-09517, b1-99445) stay together. The README of the data set scores trees as vegetation: for that, write
    data.classes with `colors: [[102, 102, 51], [0, 60, 0]]` for vegetation.
    """
    require_layout(root, ["train/rgb", "train/GT_color"])
    test = {"test": _pair(root, "test")} if (root / "test").is_dir() else {}
    return split_by_fraction(_pair(root, "train"), val_fraction, seed) | test


def _pair(root: Path, split: str) -> SampleTable:
    require_layout(root, [f"{split}/rgb", f"{split}/GT_color"])
    images, masks = _frames(f"{root}/{split}/rgb"), _frames(f"{root}/{split}/GT_color")
    for here, what, there, partner in ((images, "image", masks, "GT_color"), (masks, "mask", images, "rgb")):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise DataError(
                f"data ({split}): {len(alone)} of {len(here)} {what}s have no partner in {root}/{split}/{partner}: "
                f"{here[alone[0]]} is one"
            )
    return SampleTable(Sample(key, images[key], masks[key], key.partition("-")[0]) for key in sorted(images))


def _frames(folder: str) -> dict[str, str]:
    """The image files of a folder by what stands before the first _ of their names."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if name.startswith(".") or suffix.lower() not in IMAGE_SUFFIXES:
            continue
        frame = stem.partition("_")[0]
        if frame in found:
            raise DataError(f"data: {found[frame]} and {folder}/{name} are of the same frame; remove one of them")
        found[frame] = f"{folder}/{name}"
    return found
