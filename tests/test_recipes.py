"""Recipes for public datasets in experiments/: each builds, is what its table says, trains on the published layout."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from segtrain.config.rules import load_config
from segtrain.formats.dataset_info import load_dataset
from segtrain.training.train import check
from tests.conftest import PROJECT
from tests.formats.format_trees import draw

README = (PROJECT / "experiments" / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| \[(\w+)\.yml\]\(\1\.yml\) \|.*?\| (0\.\d+)[^|]*\| (\d+), (\d+)x(\d+) \| ([\d,]+) ?(\w*) \|", re.M
)
ROWS = ROW.findall(README.partition("## Recipes for public datasets")[2])


def test_the_table_has_every_recipe() -> None:
    published = {
        path.stem for path in (PROJECT / "experiments").glob("*.yml") if "Published, not run here" in path.read_text()
    }
    assert len(ROWS) == 8 and {row[0] for row in ROWS} == published


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_recipe_builds_and_is_what_the_table_says(row: tuple[str, ...]) -> None:
    name, score, batch, height, width, steps, unit = row
    path = PROJECT / "experiments" / f"{name}.yml"
    config = load_config([str(path), "train.device=cpu", "model.encoder_weights=null"])
    assert check(config).startswith(f"ok: {name.replace('_', '-')}: ")

    text = path.read_text(encoding="utf-8")
    head = text[: text.index("\nname: ")]
    assert f"Published, not run here: mIoU {score}" in head
    assert "https://" in head and "# Differences" in head
    assert f" train.py experiments/{name}.yml data.root={config.data.root}" in head

    crop = next(item["RandomCrop"] for item in config.transforms.train if "RandomCrop" in item)
    assert (config.data.batch_size, crop["height"], crop["width"]) == (int(batch), int(height), int(width))
    length = config.train.epochs if unit == "epochs" else config.train.max_steps
    assert length == int(steps.replace(",", ""))


@pytest.mark.parametrize("row", [row for row in ROWS if not row[-1]], ids=lambda row: row[0])
def test_the_epochs_hold_the_steps(row: tuple[str, ...]) -> None:
    config = load_config([str(PROJECT / "experiments" / f"{row[0]}.yml")])
    images = load_dataset(config.data.format).about.images["train"]
    assert config.train.epochs == math.ceil(config.train.max_steps / (images // config.data.batch_size))


def draw_ade20k(root: Path) -> None:
    for split, size in (("training", (70, 90)), ("training", (60, 40)), ("validation", (50, 80))):
        name = f"ADE_{split}_{size[0]}"
        draw(root / "images" / split / f"{name}.jpg", np.full((*size, 3), 90))
        draw(root / "annotations" / split / f"{name}.png", np.arange(size[0] * size[1]).reshape(size) % 151)


def draw_cityscapes(root: Path) -> None:
    for split, frame in (("train", "aachen_000000_000019"), ("train", "bochum_000000_000313"), ("val", "munster_1")):
        city = frame.partition("_")[0]
        draw(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png", np.full((64, 128, 3), 90))
        draw(root / "gtFine" / split / city / f"{frame}_gtFine_labelIds.png", np.full((64, 128), 7))


SCALED = "transforms.train.0.RandomResize"
CROP = "transforms.train.1.RandomCrop"


@pytest.mark.parametrize(
    ("name", "draw_set", "small"),
    [
        ("ade20k_segformer_b0", draw_ade20k, [f"{CROP}.width=64", "transforms.val.0.SmallestMaxSize.max_size=64"]),
        ("cityscapes_stdc1", draw_cityscapes, [f"{CROP}.width=128", f"{SCALED}.min_size=64"]),
    ],
)
def test_a_recipe_trains_on_the_published_layout(name, draw_set, small, tmp_path, main) -> None:
    draw_set(tmp_path / "set")
    layers = [str(PROJECT / "experiments" / f"{name}.yml"), f"data.root={tmp_path / 'set'}", f"runs_dir={tmp_path}"]
    layers += [f"{SCALED}.min_size=32", f"{SCALED}.max_size=129", f"{CROP}.height=64", *small, "schedule.warmup=1"]
    layers += ["model.encoder_weights=null", "data.batch_size=2", "data.workers=0", "train.device=cpu"]
    layers += ["train.epochs=2", "train.max_steps=2", "log.wandb.mode=disabled", "log.images=0"]
    assert main(*layers) == 0
    assert (tmp_path / f"{name.replace('_', '-')}-1" / "best.pt").is_file()
