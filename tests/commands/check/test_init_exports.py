"""`init EXPORT`: from what a labelling tool exports to an experiment that reads every pixel as it was labelled."""

import re

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.commands.check import experiment
from segtrain.config.rules import load_config
from segtrain.data.labels import LabelDecoder
from segtrain.data.splits import read_splits
from tests.commands.check import exports_drawn as drawn


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A processor with 8 GiB and no hub, in an empty folder."""
    monkeypatch.setattr(
        experiment, "look_at_machine", lambda: {"gpu": False, "free_bytes": 8 << 30, "pretrained": False}
    )
    monkeypatch.chdir(tmp_path)


def decoded() -> dict[str, dict[int, np.ndarray]]:
    """split -> {number of the image: names of its classes, HW}, as mine.yml reads them."""
    config = load_config(["mine.yml"])
    decoder, names = LabelDecoder(config.data), np.array([*config.data.class_names, *["?"] * 300])
    splits = read_splits(config.data, seed=config.seed)
    return {
        split: {
            int(re.search(r"\d\d", s.name.split("-")[-1].split("/")[-1])[0]): names[decoder.read(s)] for s in samples
        }
        for split, samples in splits.items()
    }


@pytest.mark.parametrize("tool", drawn.TOOLS)
def test_every_pixel_and_every_name_of_each_tool(tool, tmp_path, capsys):
    drawn.TOOLS[tool](tmp_path / "my export")
    assert segtrain(["init", "my export", "-o", "mine.yml"]) == 0, capsys.readouterr().err
    text = (tmp_path / "mine.yml").read_text()
    assert text.startswith("# Made by python -m segtrain init 'my export' -o mine.yml\n")
    assert re.search(r"- .*\bcar\b.*# .*(9 objects, )?\d+\.\d+ % of the pixels, in 9 of 10 masks\n", text), text
    found = decoded()
    sizes = {split: len(masks) for split, masks in found.items()}
    assert sizes == drawn.SPLITS.get(tool, {"train": 8, "val": 2})
    masks = {index: mask for split in found.values() for index, mask in split.items()}
    assert sorted(masks) == [*range(drawn.COUNT)]
    for index, mask in masks.items():
        assert (mask == drawn.truth(index)).all(), index
