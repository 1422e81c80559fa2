"""Look into Person (LIP): the parts and clothes of one person, 19 classes and background.

Gong, Liang, Zhang, Shen, Lin: Look into Person: Self-supervised Structure-sensitive Learning and a New Benchmark for
Human Parsing. CVPR, 2017. Published by Sun Yat-sen University.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.formats.dataset_info import About, Color, KnownClass, Labels
from segtrain.formats.lists import samples_of_names
from segtrain.formats.sample import Splits, require_layout, require_path

# Mask values 0, 1, .. in this order, with the colours that the authors' code (LIP_JPPNet) paints them in.
CLASSES: tuple[tuple[str, Color], ...] = (
    ("background", (0, 0, 0)),
    ("hat", (128, 0, 0)),
    ("hair", (255, 0, 0)),
    ("glove", (0, 85, 0)),
    ("sunglasses", (170, 0, 51)),
    ("upper_clothes", (255, 85, 0)),
    ("dress", (0, 0, 85)),
    ("coat", (0, 119, 221)),
    ("socks", (85, 85, 0)),
    ("pants", (0, 85, 85)),
    ("jumpsuits", (85, 51, 0)),
    ("scarf", (52, 86, 128)),
    ("skirt", (0, 128, 0)),
    ("face", (0, 0, 255)),
    ("left_arm", (51, 170, 221)),
    ("right_arm", (0, 255, 255)),
    ("left_leg", (85, 255, 170)),
    ("right_leg", (170, 255, 85)),
    ("left_shoe", (255, 255, 0)),
    ("right_shoe", (255, 170, 0)),
)
ANNOTATIONS = "TrainVal_parsing_annotations"
# An archive holds a folder of its own name; programs that unpack it into a folder of that name have it twice.
IMAGE_FOLDERS = ("", "TrainVal_images", "TrainVal_images/TrainVal_images")
MASK_FOLDERS = (ANNOTATIONS, f"{ANNOTATIONS}/{ANNOTATIONS}")
ABOUT = About(
    title="Look into Person (LIP): 19 parts and clothes of one person, and background",
    layout=(
        "[TrainVal_images/]{train,val}_images/NAME.jpg",
        "[TrainVal_images/]{train,val}_id.txt",
        "TrainVal_parsing_annotations/{train,val}_segmentations/NAME.png",
    ),
    images={"train": 30462, "val": 10000},
    licence="non-commercial research",
    home="http://sysu-hcp.net/lip/",
    by_hand="fetch TrainVal_images.zip and TrainVal_parsing_annotations.zip from its page; unpack both into data.root",
)


def labels(arguments: Mapping[str, Any]) -> Labels:
    """Values 0..19. Left and right are those of the person: a mirrored image has them exchanged."""
    return Labels(tuple(KnownClass(name, color, (value,)) for value, (name, color) in enumerate(CLASSES)))


def read(root: Path) -> Splits:
    """train_images/NAME.jpg with TrainVal_parsing_annotations/train_segmentations/NAME.png for the names in
    train_id.txt, and val likewise. The folders of images and the lists lie below root or in its folder TrainVal_images;
    a folder that an archive was unpacked into under its own name again is found too. The test images have no masks.

    A horizontal flip makes a left arm a right one, which the masks do not follow: leave HorizontalFlip out of
    transforms.train, or give left and right to one class.
    """
    require_layout(root, [ANNOTATIONS])
    return {
        split: samples_of_names(
            _find(root, f"{split}_id.txt", IMAGE_FOLDERS),
            images=_find(root, f"{split}_images", IMAGE_FOLDERS),
            image_suffix=".jpg",
            masks=_find(root, f"{split}_segmentations", MASK_FOLDERS),
            mask_suffix=".png",
        )
        for split in ("train", "val")
    }


def _find(root: Path, name: str, places: tuple[str, ...]) -> Path:
    paths = [root / place / name for place in places]
    return next((path for path in paths if path.exists()), None) or require_path(paths[0], "data.root")
