"""What the tests of `python -m segtrain evaluate` share."""

import argparse
import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.command import run_command
from segtrain.commands.evaluate.command import add_arguments
from segtrain.commands.evaluate.command import main as main_of_command

NAMES = ["sky", "road", "building", "tree", "pole", "car", "person"]
BINARY = ["data.classes=[{name: blob, value: 1, color: [200, 30, 30]}]", "data.ignore_values=[2, 3, 4, 5, 6]"]
BINARY += ["loss={BCEWithLogitsLoss: 1.0}"]
LAYERS = [
    "data.masks={train: 'train/{class}', val: 'val/{class}'}",
    "data.classes=[warm, cold]",
    "data.multilabel=true",
    "loss={BCEWithLogitsLoss: 1.0}",
]


def evaluate(*arguments: object) -> int:
    """`python -m segtrain evaluate` in this process: its exit status."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run_command(main_of_command, parser.parse_args([*map(str, arguments), "--device", "cpu"]))


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """What it says on stderr, in one line, where it refuses."""
    capsys.readouterr()
    assert evaluate(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def read_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers_in(folder: Path) -> dict[str, float]:
    """What evaluation.csv says, without what is not known."""
    return {row["name"]: float(row["value"]) for row in read_rows(folder / "evaluation.csv") if row["value"]}


def scores_of_training(run: Path) -> dict[str, float]:
    """The scores in the last row of metrics.csv, named as in evaluation.csv."""
    row = read_rows(run / "metrics.csv")[-1]
    keys = [key for key in row if key.startswith("val/") and key != "val/loss" and row[key] not in ("", "nan")]
    return {key.removeprefix("val/"): float(row[key]) for key in keys}


def draw_layers(root: Path) -> None:
    """Beside the masks of a drawn dataset those of two classes that overlap, in which some pixels are ignored."""
    for path in [*root.glob("*/masks/*.png")]:
        mask = np.asarray(Image.open(path))
        for name, members in (("warm", (0, 1, 2, 3)), ("cold", (2, 3, 4, 5))):
            target = path.parent.parent / name / path.name
            target.parent.mkdir(exist_ok=True)
            layer = np.where(mask == 255, 255, np.isin(mask, members)).astype(np.uint8)
            Image.fromarray(layer).save(target)
