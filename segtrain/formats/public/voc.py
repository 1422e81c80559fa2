"""PASCAL VOC: 20 classes of objects and background.

Everingham, Van Gool, Williams, Winn, Zisserman: The PASCAL Visual Object Classes (VOC) Challenge. International Journal
of Computer Vision, 2010. The 2012 edition is what segmentation is compared on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.formats.dataset_info import About, Archive, Color, KnownClass, Labels
from segtrain.formats.lists import samples_of_names
from segtrain.formats.sample import SampleTable, Splits, require_layout, require_path

# Mask values 0, 1, .. in this order, with the colours of the palette that the masks hold. From the development kit.
CLASSES: tuple[tuple[str, Color], ...] = (
    ("background", (0, 0, 0)),
    ("aeroplane", (128, 0, 0)),
    ("bicycle", (0, 128, 0)),
    ("bird", (128, 128, 0)),
    ("boat", (0, 0, 128)),
    ("bottle", (128, 0, 128)),
    ("bus", (0, 128, 128)),
    ("car", (128, 128, 128)),
    ("cat", (64, 0, 0)),
    ("chair", (192, 0, 0)),
    ("cow", (64, 128, 0)),
    ("diningtable", (192, 128, 0)),
    ("dog", (64, 0, 128)),
    ("horse", (192, 0, 128)),
    ("motorbike", (64, 128, 128)),
    ("person", (192, 128, 128)),
    ("pottedplant", (0, 64, 0)),
    ("sheep", (128, 64, 0)),
    ("sofa", (0, 192, 0)),
    ("train", (128, 192, 0)),
    ("tvmonitor", (0, 64, 128)),
)
VOID = 255
SPLITS = ("train", "val", "trainval")
# Address and checksum as torchvision has them.
ARCHIVE = Archive(
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
    bytes=1_999_639_040,
)
ABOUT = About(
    title="PASCAL VOC 2012: 20 classes of objects and background",
    layout=(
        "JPEGImages/NAME.jpg",
        "SegmentationClass/NAME.png",
        "ImageSets/Segmentation/{train,val,trainval}.txt",
    ),
    images={"train": 1464, "val": 1449, "trainval": 2913},
    licence="the images are from Flickr and under its terms of use",
    home="https://www.robots.ox.ac.uk/~vgg/projects/pascal/VOC/voc2012/",
    archives=(ARCHIVE,),
    by_hand="data.root is the folder VOCdevkit/VOC2012 that the archive unpacks to",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """Values 0..20; 255 is the border of objects and what is too hard to tell."""
    classes = tuple(KnownClass(name, color, (value,)) for value, (name, color) in enumerate(CLASSES))
    return Labels(classes, ignore_values=(VOID,))


def read(root: Path) -> Splits:
    """The folder VOC2012, or that of another year: JPEGImages/NAME.jpg with SegmentationClass/NAME.png for the names
    in ImageSets/Segmentation/<split>.txt, for each of the splits train, val and trainval that has such a list."""
    require_layout(root, ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
    there = [split for split in SPLITS if list_of(root, split).exists()]
    if not there:
        require_path(list_of(root, "train"), "data.root")
    return {split: read_split(root, split) for split in there}


def list_of(root: Path, split: str) -> Path:
    """The list of a split's names."""
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def read_split(root: Path, split: str) -> SampleTable:
    """The images of a split with VOC's own masks, in the order of its list."""
    return samples_of_names(
        list_of(root, split),
        images=root / "JPEGImages",
        image_suffix=".jpg",
        masks=root / "SegmentationClass",
        mask_suffix=".png",
    )
