"""Meter: dials of pressure gauges, cut out of photographs, with their pointers and scales, to be read automatically.

Published with the example meter_reader of PaddlePaddle/PaddleX; layout and counts are those of its README.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.formats import list_file
from segtrain.formats.dataset_info import About, Archive, KnownClass, Labels
from segtrain.formats.sample import Splits

# Names and values: SEG_CNAME2CLSID in reader_infer.py of the example. No colours are published; these are the first
# three of the colour map of VOC, which PaddleX paints its predictions with.
CLASSES = (
    KnownClass("background", (0, 0, 0), (0,)),
    KnownClass("pointer", (128, 0, 0), (1,)),
    KnownClass("scale", (0, 128, 0), (2,)),
)
ABOUT = About(
    title="Meter: pointer and scale of pressure gauges, 3 classes",
    layout=(
        "train.txt and val.txt with a line `images/<split>/NAME.jpg annotations/<split>/NAME.png` for each image",
        "images/<split>/NAME.jpg and annotations/<split>/NAME.png",
    ),
    images={"train": 374, "val": 40},
    licence="not stated; the code that it comes with is under Apache 2.0",
    home="https://github.com/PaddlePaddle/PaddleX",
    archives=(Archive("https://bj.bcebos.com/paddlex/examples/meter_reader/datasets/meter_seg.tar.gz"),),
    by_hand="the archive unpacks to a folder meter_seg; that is data.root",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """background 0, pointer 1, scale 2."""
    return Labels(CLASSES)


def read(root: Path) -> Splits:
    """The published split: train.txt and val.txt, each with an image and a mask a line, relative to root."""
    return list_file.read(root)
