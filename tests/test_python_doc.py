"""The code of docs/reference/python.md runs as it is written."""

import re
from pathlib import Path

import pandas
import pytest

from segtrain.config.tree import dump_yaml, parse_yaml
from tests.conftest import PROJECT, SMALL, draw_folders

TEXT = (PROJECT / "docs/reference/python.md").read_text(encoding="utf-8")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small dataset, with an experiment that trains in seconds, and one epoch instead of five."""
    monkeypatch.chdir(tmp_path)
    draw_folders(tmp_path / "data" / "street")
    (tmp_path / "data/street/val/images/0000.png").symlink_to("000.png")
    (tmp_path / "data/street/val/masks/0000.png").symlink_to("000.png")
    (tmp_path / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    (tmp_path / "experiments").mkdir()
    mine: dict = {}
    for layer in [*SMALL, "train.epochs=1", "name=mine"]:
        key, _, value = layer.partition("=")
        *sections, last = key.split(".")
        inner = mine
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = parse_yaml(value).plain()
    (tmp_path / "experiments" / "mine.yml").write_text(dump_yaml(mine))
    variables: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block.replace("train.epochs=5", "train.epochs=1"), variables)
    assert variables["run"].folder == Path("runs/mine-1") and variables["evaluation"].folder.parent == Path(
        "runs/mine-1"
    )
    assert [run.config.optimizer.lr for run in variables["runs"]] == [1e-3, 3e-3]
    assert variables["best"].score == max(run.score for run in variables["runs"])
    assert variables["prediction"].mask.shape == (64, 80)
    assert isinstance(variables["findings"], pandas.DataFrame)
