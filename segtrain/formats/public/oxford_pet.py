"""Oxford-IIIT Pet: cats and dogs of 37 breeds, as a trimap of pet, background and the border between them.

Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs. CVPR, 2012.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segtrain.formats.dataset_info import About, Archive, KnownClass, Labels
from segtrain.formats.lists import listed_samples, read_lines
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout, split_by_fraction

if TYPE_CHECKING:
    import numpy as np

# Values of the trimaps, from the README of the annotations, which calls 3 "not classified". The colours are our own.
PET = KnownClass("pet", (220, 60, 60), (1,))
BACKGROUND = KnownClass("background", (0, 0, 0), (2,))
BORDER = KnownClass("border", (240, 220, 80), (3,))
# Checksums and sizes as tensorflow_datasets has them; the files have moved to this server since.
SERVER = "https://thor.robots.ox.ac.uk/datasets/pets/"
ABOUT = About(
    title="Oxford-IIIT Pet: cats and dogs against the background",
    layout=("images/NAME.jpg", "annotations/trimaps/NAME.png", "annotations/{trainval,test}.txt"),
    images={"trainval": 3680, "test": 3669},
    licence="CC BY-SA 4.0",
    home="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    archives=(
        Archive(
            f"{SERVER}images.tar.gz",
            "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            791_918_971,
        ),
        Archive(
            f"{SERVER}annotations.tar.gz",
            "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            19_173_078,
        ),
    ),
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """The classes pet, background and border, or pet alone (binary) where `border` is no class."""
    border = arguments.get("border", "class")
    if border == "class":
        return Labels((PET, BACKGROUND, BORDER))
    values = PET.values + BORDER.values if border == "pet" else PET.values
    return Labels((PET._replace(values=values),), ignore_values=BORDER.values if border == "ignore" else ())


def read(
    root: Path,
    *,
    border: Literal["class", "ignore", "pet", "background"] = "class",
    val_fraction: float = 0.1,
    seed: int = 0,
) -> Splits:
    """images/NAME.jpg with annotations/trimaps/NAME.png for the names that lines of annotations/trainval.txt and
    annotations/test.txt begin with. `val_fraction` of trainval is held out, chosen by name and seed, as val, and the
    rest is train; trainval is there as a split too.

    `border` says what the border of a pet is, which the trimaps leave open: a third class; ignored, with pet against
    background; or part of the pet (as in the example of segmentation-models-pytorch) or of the background. With
    anything but class the task is binary. Files that are in no list are left alone.
    """
    require_layout(root, ["images", "annotations/trimaps", "annotations/trainval.txt"])
    background = {"class": "", "background": "\t2,3"}.get(border, "\t2")
    whole = _read_list(root, "trainval", background)
    splits = {**split_by_fraction(whole, val_fraction, seed), "trainval": whole}
    if (root / "annotations" / "test.txt").exists():
        splits["test"] = _read_list(root, "test", background)
    return splits


def _read_list(root: Path, split: str, background: str) -> SampleTable:
    """The samples of a list of lines like `Abyssinian_100 1 1 1`: name, breed, species, breed in the species."""
    path = root / "annotations" / f"{split}.txt"
    names = [(line, text.split()[0]) for line, text in read_lines(path)]
    return listed_samples(
        path,
        (
            (line, Sample(name, f"{root}/images/{name}.jpg", f"{root}/annotations/trimaps/{name}.png{background}"))
            for line, name in names
        ),
    )


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """A trimap, HW uint8 of 1 pet, 2 background, 3 border. After a tab `mask` has the values that become 0, which is
    what the background of a binary task is. With `as_color` HWC."""
    import numpy as np

    from segtrain.images import reading

    path, _, background = mask.partition("\t")
    trimap = reading.read_mask(path, as_color=as_color)
    zeros = [int(value) for value in background.split(",") if value]
    return np.where(np.isin(trimap, zeros), 0, trimap).astype(trimap.dtype) if zeros else trimap
