"""PASCAL VOC 2012 with the additional annotations of SBD: 10582 training images instead of 1464.

Hariharan, Arbelaez, Bourdev, Maji, Malik: Semantic contours from inverse detectors. ICCV, 2011 (SBD, the Semantic
Boundaries Dataset). Its own training set holds images of VOC's validation set, and must never be trained on as it is.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from segtrain.errors import DataError
from segtrain.formats.dataset_info import About, Archive, Labels
from segtrain.formats.lists import listed_samples, read_lines, read_names
from segtrain.formats.public import voc
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout, require_path

if TYPE_CHECKING:
    import numpy as np

# Where the list of DeepLab's 10582 images is kept: MMSegmentation writes the first one, lists for DeepLab in PyTorch
# have the others.
TRAIN_LISTS = (
    "ImageSets/Segmentation/trainaug.txt",
    "ImageSets/Segmentation/train_aug.txt",
    "ImageSets/SegmentationAug/train_aug.txt",
    "ImageSets/SegmentationAug/trainaug.txt",
)
SBD = "benchmark_RELEASE/dataset"
ABOUT = About(
    title="PASCAL VOC 2012 with the masks of SBD for training: 20 classes of objects and background",
    layout=(
        "JPEGImages, SegmentationClass, SegmentationClassAug, ImageSets/Segmentation/{trainaug,val}.txt "
        "(annotations: png)",
        "VOC2012 and benchmark_RELEASE/dataset/{cls,train.txt,val.txt} (annotations: sbd)",
    ),
    images={"train": 10582, "val": 1449},
    licence="the images are from Flickr and under its terms of use",
    home="http://home.bharathh.info/pubs/codes/SBD/download.html",
    # Address and checksum of SBD as torchvision has them.
    archives=(
        voc.ARCHIVE,
        Archive(
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
            checksum="md5:82b4d87ceb2ed10f6038a1cba92111cb",
            bytes=1_419_539_633,
            folder="VOCdevkit",
        ),
    ),
    by_hand="write data.annotations: sbd; data.root is the folder VOCdevkit that the archives unpack to",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """Those of VOC; SBD leaves no pixel out."""
    return voc.labels(arguments)


def read(root: Path, *, annotations: Literal["png", "sbd"] = "png", train_list: str | None = None) -> Splits:
    """VOC 2012 with more training images. val is VOC's own, with its own masks; no image of it is trained on.

    png: root is the folder VOC2012, as for format voc, with the folder SegmentationClassAug beside SegmentationClass
    and a list of the training images, ImageSets/Segmentation/trainaug.txt (or train_aug.txt, or either in
    ImageSets/SegmentationAug; `train_list` names another, below root). A line is a name, or the paths of image and mask
    as in DeepLab's lists. An image that has no mask in SegmentationClassAug has that of SegmentationClass.

    sbd: root is a folder that holds VOC2012 (or VOCdevkit/VOC2012) and benchmark_RELEASE, as published. Training images
    are those of VOC's train and of SBD's train and val without those of VOC's val; where VOC has a mask it is taken,
    else that of benchmark_RELEASE/dataset/cls/NAME.mat.
    """
    return _read_png(root, train_list) if annotations == "png" else _read_sbd(root, train_list)


def _read_png(root: Path, train_list: str | None) -> Splits:
    require_layout(root, ["JPEGImages", "SegmentationClass", "SegmentationClassAug", "ImageSets/Segmentation/val.txt"])
    path = _find_list(root, train_list)
    names = [(line, _name_in(text)) for line, text in read_lines(path)]
    _refuse_validation(root, path, names)
    samples = [(line, Sample(name, f"{root}/JPEGImages/{name}.jpg", _png_of(root, name))) for line, name in names]
    return {"train": listed_samples(path, samples), "val": voc.read_split(root, "val")}


def _find_list(root: Path, train_list: str | None) -> Path:
    if train_list is not None:
        return require_path(root / train_list, "data.train_list")
    found = next((root / name for name in TRAIN_LISTS if (root / name).exists()), None)
    if found is None:
        raise DataError(
            f"data.root: {root} has no list of the training images; looked for {', '.join(TRAIN_LISTS)}; write "
            "data.train_list: its path below data.root"
        )
    return found


def _name_in(text: str) -> str:
    """The name in a line: 2007_000032, or /JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png."""
    return PurePosixPath(text.split()[0]).stem


def _png_of(root: Path, name: str) -> str:
    augmented, own = (f"{root}/{folder}/{name}.png" for folder in ("SegmentationClassAug", "SegmentationClass"))
    return own if os.path.exists(own) and not os.path.exists(augmented) else augmented


def _refuse_validation(root: Path, path: Path, names: Iterable[tuple[int, str]]) -> None:
    """Raises DataError where a list of training images names one of VOC's validation images."""
    held_out = {name: line for line, name in read_names(voc.list_of(root, "val"))}
    leaked = [(line, name) for line, name in names if name in held_out]
    if leaked:
        line, name = leaked[0]
        raise DataError(
            f"{path}:{line}: {name} is a validation image, {voc.list_of(root, 'val')}:{held_out[name]}, as "
            f"{len(leaked)} name(s) of this list are; take them out, or what is scored is trained on"
        )


def _read_sbd(root: Path, train_list: str | None) -> Splits:
    if train_list is not None:
        raise DataError("data.train_list: is for data.annotations: png; with sbd the lists are those of VOC and SBD")
    require_layout(root, [f"{SBD}/cls"])
    inside = root / "VOCdevkit" / "VOC2012"
    voc_root = inside if inside.exists() else require_path(root / "VOC2012", "data.root")
    require_layout(voc_root, ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
    own_list = voc.list_of(voc_root, "train")
    _refuse_validation(voc_root, own_list, read_names(own_list))
    own, val = voc.read_split(voc_root, "train"), voc.read_split(voc_root, "val")
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


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """A PNG as other formats read it, or GTcls.Segmentation of a .mat file of SBD: HW uint8, 0..20; with `as_color`
    HWC, the value in each of three channels. Raises DataError for a file that is broken."""
    import zlib

    import numpy as np

    from segtrain.images import reading

    if not mask.endswith(".mat"):
        return reading.read_mask(mask, as_color=as_color)
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        values = loadmat(mask)["GTcls"][0]["Segmentation"][0]
    # scipy raises NotImplementedError for files of MATLAB 7.3, which are HDF5; the others for what is damaged.
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError, MatReadError, zlib.error) as error:
        raise DataError(f"{mask}: no GTcls.Segmentation of SBD can be read: {error}; is the file complete?") from error
    return np.repeat(values[..., None], 3, axis=-1) if as_color else values
