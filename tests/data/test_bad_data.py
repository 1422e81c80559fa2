"""What is wrong with images and masks is one line that names the file and says what to do, exit status 2."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.bad_input import ONE_EPOCH, assert_one_line, truncate
from tests.conftest import draw_folders


def to_jpeg(path: Path) -> None:
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def paint(path: Path, value: int) -> None:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[10, 10:13] = value
    cv2.imwrite(str(path), mask)


def resize(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((50, 80), np.uint8))


# How the dataset is broken, and the line; ROOT stands for its folder.
BROKEN = {
    "missing folder": (
        lambda root: shutil.rmtree(root),
        "data.root: ROOT does not exist; .+ contains: .+",
    ),
    "missing subfolder": (
        lambda root: shutil.rmtree(root / "val" / "masks"),
        r"data \(val\).masks: ROOT/val/masks does not exist; ROOT/val contains: images",
    ),
    "image without mask": (
        lambda root: (root / "train/masks/003.png").unlink(),
        r"data \(train\): 1 of 8 images have no mask in ROOT/train/masks: ROOT/train/images/003.png",
    ),
    "mask without image": (
        lambda root: (root / "train/images/003.png").unlink(),
        r"data \(train\): 1 of 8 masks have no image in ROOT/train/images: ROOT/train/masks/003.png",
    ),
    "empty split": (
        lambda root: (empty(root / "val/images"), empty(root / "val/masks")),
        r"data \(val\): no images in ROOT/val/images; known suffixes: .+",
    ),
    "sizes that differ": (
        lambda root: resize(root / "train/masks/003.png"),
        r"ROOT/train/masks/003.png: is 80 x 50 pixels, but its image ROOT/train/images/003.png is 80 x 64 pixels",
    ),
    "truncated image": (
        lambda root: truncate(root / "train/images/003.png"),
        r"ROOT/train/images/003.png: cannot be read as an image: .+; is the file complete\?",
    ),
    "truncated mask": (
        lambda root: truncate(root / "val/masks/001.png"),
        r"ROOT/val/masks/001.png: cannot be read as an image: .+; is the file complete\?",
    ),
    "unclaimed value": (
        lambda root: paint(root / "train/masks/003.png", 77),
        r"ROOT/train/masks/003.png: no class claims value 77 \(3 pixels\); assign it to a class in data.classes, "
        r"like \{name: .., value: 77\}, or write data.ignore_values: \[77\]",
    ),
    "JPEG mask": (
        lambda root: to_jpeg(root / "train/masks/003.png"),
        r"ROOT/train/masks/003.jpg: a JPEG changes the values of a mask; save masks as PNG, from the original "
        r"annotation",
    ),
}


# These two are found by the reading processes, where there are any.
@pytest.mark.parametrize(
    ("case", "workers"), [*((case, 0) for case in BROKEN), ("sizes that differ", 2), ("truncated image", 2)]
)
def test_what_is_wrong_with_the_data(main, dataset, tmp_path, capsys, case, workers):
    damage, pattern = BROKEN[case]
    damage(dataset)
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", f"data.workers={workers}") == 2
    assert_one_line(capsys.readouterr().err, pattern.replace("ROOT", re.escape(str(dataset))))


def test_a_class_that_never_occurs_is_a_warning(main, tmp_path, capsys):
    dataset = draw_folders(tmp_path / "six", train=4, val=2, classes=6)
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    warning = "warning: no training mask has a pixel of: person; are the values in data.classes right?"
    assert captured.out.splitlines()[0] == warning
    assert (tmp_path / "runs" / "street-1" / "best.pt").exists()
