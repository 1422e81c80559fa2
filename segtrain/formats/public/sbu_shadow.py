"""SBU Shadow: shadows in photographs, a binary task.

Vicente, Hou, Yu, Hoai, Samaras: Large-scale training of shadow detectors with noisily-annotated shadow examples. ECCV,
2016.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.dataset_info import About, Archive, KnownClass, Labels
from segtrain.formats.sample import SampleTable, Splits, require_layout, split_by_fraction

if TYPE_CHECKING:
    import numpy as np

TRAIN, TEST = "SBUTrain4KRecoveredSmall", "SBU-Test"
LARGEST_LIT = 125
"""Masks are grey; a pixel above this is shadow. From ComputeBERonSet.m, which the authors score with."""
ABOUT = About(
    title="SBU Shadow: shadows in photographs, binary",
    layout=(f"{{{TRAIN},{TEST}}}/ShadowImages/NAME.jpg", f"{{{TRAIN},{TEST}}}/ShadowMasks/NAME.png"),
    images={"train": 4085, "test": 638},
    licence="non-commercial research",
    home="https://www3.cs.stonybrook.edu/~cvl/projects/shadow_noisy_label/index.html",
    archives=(
        Archive("http://www3.cs.stonybrook.edu/~cvl/content/datasets/shadow_db/SBU-shadow.zip", bytes=286_000_000),
    ),
    by_hand="data.root is the folder SBU-shadow that the archive unpacks to",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """One class: 255 is shadow, 0 is not."""
    return Labels((KnownClass("shadow", (255, 0, 0), (255,)),))


def read(root: Path, *, val_fraction: float = 0.1, seed: int = 0) -> Splits:
    """SBU-shadow: SBUTrain4KRecoveredSmall/ShadowImages/NAME.jpg with ShadowMasks/NAME.png beside that folder, and
    SBU-Test alike. The training images are published without a validation set: `val_fraction` of them are held out,
    chosen by name and seed, as val. test is SBU-Test, where it is there, and none of it is in train or val. A mask's
    pixels above 125 are shadow, as its authors score it."""
    require_layout(root, [f"{TRAIN}/ShadowImages", f"{TRAIN}/ShadowMasks"])
    splits = split_by_fraction(_pair(root, TRAIN), val_fraction, seed)
    if (root / TEST).exists():
        splits["test"] = _pair(root, TEST)
    return splits


def _pair(root: Path, folder: str) -> SampleTable:
    return folders.pair(root, f"{folder}/ShadowImages", f"{folder}/ShadowMasks", what=f"data ({folder})")


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """HW uint8, 0 and 255, whatever the file type: what is grey at the edge of a shadow goes to the nearer side. With
    `as_color` HWC. Raises DataError for a broken file, and for one that holds 0 and 1, which would be no shadow."""
    import numpy as np

    from segtrain.images.reading import read_image

    grey = read_image(mask, channels=1)[..., 0]
    if grey.max() == 1:
        raise DataError(
            f"{mask}: holds 0 and 1, but shadow is 255 in SBU's masks; take the published ones, or format folders with "
            "data.classes: [{name: shadow, value: 1}]"
        )
    shadow = np.where(grey > LARGEST_LIT, 255, 0).astype(np.uint8)
    return np.repeat(shadow[..., None], 3, axis=-1) if as_color else shadow
