"""What several test files draw on: a small data set, and a process that runs a command of the project."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent

# Settings that make a training of seconds: they go behind the shipped config.yml as key.sub=value.
SMALL = [
    "model.encoder_name=tu-mobilenetv3_small_050",
    "model.decoder_channels=[16, 16, 8, 8, 8]",
    "transforms.train=[{RandomCrop: {height: 64, width: 64, pad_if_needed: true}}, HorizontalFlip]",
    "data.batch_size=4",
    "data.workers=0",
    "train.epochs=2",
    "train.eval_every_epochs=1",
    "log.wandb.mode=disabled",
    "log.images=2",
]


def draw_sample(folder: Path, name: str, *, seed: int, height: int = 64, width: int = 80, classes: int = 3) -> None:
    """Write images/NAME.png and masks/NAME.png: blocks of `classes` classes, each in its colour, and some ignored."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, classes, (-(-height // 16), -(-width // 16)))
    mask = np.kron(cells, np.ones((16, 16), np.int64)).astype(np.uint8)[:height, :width]
    palette = [[40, 40, 200], [40, 200, 40], [200, 40, 40], [200, 200, 40], [40, 200, 200], [200, 40, 200], [9, 9, 9]]
    colors = np.array(palette)
    image = np.clip(colors[mask] + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    mask[:2] = 255
    for kind, array in (("images", cv2.cvtColor(image, cv2.COLOR_RGB2BGR)), ("masks", mask)):
        path = folder / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


def draw_folders(root: Path, *, train: int = 8, val: int = 4, classes: int = 7) -> Path:
    """A data set in the layout of the shipped config.yml."""
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            draw_sample(root / split, f"{index:03d}", seed=1000 * (split == "val") + index, classes=classes)
    return root


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """8 training and 4 validation images of 64 x 80 pixels, seven classes, as the shipped config.yml expects them."""
    return draw_folders(tmp_path / "street")


def run(command: str, *arguments: object, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess:
    """Run `train.py`, `predict.py` or `-m segtrain` as a user does, in a process of its own, with text output."""
    script = command.split() if command.startswith("-m") else [str(PROJECT / command)]
    # Without wandb's own variables: a test in this process that used wandb left the address of its service in them.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    full = inherited | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment
    line = [sys.executable, *script, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=full, capture_output=True, text=True, timeout=300)
