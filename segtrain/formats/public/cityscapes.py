"""Cityscapes: street scenes of 50 cities from a driving car, 2048x1024, with 19 classes that are evaluated.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding. CVPR, 2016. Layout, counts and labels are
those of mcordts/cityscapesScripts (README.md, helpers/labels.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.dataset_info import About, Color, KnownClass, Labels
from segtrain.formats.sample import Splits, require_layout

# name, id, colour; the place in the list is the trainId
CLASSES: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
# unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground, parking, rail track, guard rail,
# bridge, tunnel, polegroup, caravan, trailer
IGNORED_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
# License plates have the id -1: the publisher's json2labelImg.py does not draw them, so their pixels are those of the
# car around them. Tools that do draw them into 8 bits write 255, which is also the trainId of all that is ignored.
IGNORED_BYTE = 255

ABOUT = About(
    title="Cityscapes: 19 classes of street scenes, fine or coarse masks",
    layout=(
        "leftImg8bit/<split>/<city>/*_leftImg8bit.png",
        "gtFine/<split>/<city>/*_gtFine_labelIds.png (annotations: fine)",
        "gtCoarse/<split>/<city>/*_gtCoarse_labelIds.png (annotations: coarse)",
    ),
    images={"train": 2975, "val": 500, "train_extra": 19998},
    licence="free for non-commercial use, not to be passed on",
    home="https://www.cityscapes-dataset.com/",
    by_hand="needs an account: unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into data.root, and for "
    "coarse masks leftImg8bit_trainextra.zip and gtCoarse.zip",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """labelIds: the ids of the 19 evaluated labels, the other 15 are ignored. labelTrainIds: 0..18. Both ignore 255."""
    if arguments.get("masks", "labelIds") == "labelTrainIds":
        classes = [KnownClass(name, color, (place,)) for place, (name, _, color) in enumerate(CLASSES)]
        return Labels(tuple(classes), ignore_values=(IGNORED_BYTE,))
    classes = [KnownClass(name, color, (number,)) for name, number, color in CLASSES]
    return Labels(tuple(classes), ignore_values=(*IGNORED_IDS, IGNORED_BYTE))


def read(
    root: Path,
    *,
    annotations: Literal["fine", "coarse"] = "fine",
    masks: Literal["labelIds", "labelTrainIds"] = "labelIds",
) -> Splits:
    """`leftImg8bit/<split>/<city>/NAME_leftImg8bit.png` with `gtFine/<split>/<city>/NAME_gtFine_labelIds.png`, or with
    gtCoarse and NAME_gtCoarse_labelIds.png where `annotations` is coarse. labelTrainIds are the masks that
    csCreateTrainIdLabelImgs makes.

    The splits are train and val, and train_extra with coarse masks (`data.train_split: train_extra`). The test split
    is left out: its masks are not public, and the files in their place hold nothing but ignored ids, so that a score
    would be of no pixel; its images can be predicted. In train_extra the image troisdorf_000000_000073 is all black.
    """
    kind = "gtFine" if annotations == "fine" else "gtCoarse"
    require_layout(root, ["leftImg8bit", kind])
    suffix = f"_{kind}_{masks}"
    splits: Splits = {}
    for split in ("train", "val") if annotations == "fine" else ("train", "val", "train_extra"):
        images = root / "leftImg8bit" / split
        if images.is_dir() and any(images.iterdir()):  # the archives hold empty folders too
            _require_masks(root / kind / split, suffix)
            splits[split] = folders.pair(
                root,
                f"leftImg8bit/{split}",
                f"{kind}/{split}",
                image_suffix="_leftImg8bit",
                mask_suffix=suffix,
                what=f"data ({split})",
            )
    return splits


def _require_masks(folder: Path, suffix: str) -> None:
    """Raises DataError where there is none of these masks at all: what to do then is another thing than with one that
    is missing."""
    if next(folder.rglob(f"*{suffix}.png"), None) is not None:
        return
    remedy = "unpack the masks there"
    if suffix.endswith("labelTrainIds"):
        remedy = "make them with csCreateTrainIdLabelImgs of cityscapesScripts, or write data.masks: labelIds"
    raise DataError(f"data.masks: {folder} holds no *{suffix}.png; {remedy}")
