"""The shipped experiments: each builds, and says at its head what it gave."""

from pathlib import Path

import pytest

from segtrain.config.rules import load_config
from segtrain.training.train import check
from tests.conftest import PROJECT

EXPERIMENTS = sorted((PROJECT / "experiments").glob("camvid_*.yml"))  # beside them lie those of the user


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_builds_without_its_data(path: Path) -> None:
    # The weights that some start from are in a package that is installed for them.
    config = load_config([str(path), "train.device=cpu", "model.encoder_weights=null"])
    assert check(config).startswith("ok: camvid-")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_its_head_has_result_time_and_command(path: Path) -> None:
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    text = "\n".join(head)
    assert "mIoU 0." in text
    assert "minutes" in text
    assert f"python train.py experiments/{path.name}" in text
