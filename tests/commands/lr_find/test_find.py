"""The learning-rate range test: its rule against a curve whose steepest point is known, and as a command."""

import numpy as np
import pandas
import pytest

from segtrain.commands.lr_find.find import HIGHEST, LOWEST, suggest_index
from tests.conftest import SMALL, draw_folders, run

RATES = np.geomspace(LOWEST, HIGHEST, 100)


def curve(steepest: float, diverges: float) -> np.ndarray:
    """A loss that falls from 3 to 1, as a logistic function of the rate's logarithm, and then rises."""
    place = np.log10(RATES)
    return 3 - 2 / (1 + np.exp(-4 * (place - np.log10(steepest)))) + np.exp(4 * (place - np.log10(diverges)))


@pytest.mark.parametrize("steepest", [1e-4, 1e-3, 1e-2])
def test_the_suggestion_is_where_the_loss_falls_fastest(steepest):
    smooth, index = suggest_index(RATES, curve(steepest, 1.0), steps=100)
    assert RATES[index] == pytest.approx(steepest, rel=0.2)  # a step is a factor of 1.18
    assert len(smooth) == 100
    noise = np.random.default_rng(0).normal(0, 0.1, 100)
    _, index = suggest_index(RATES, curve(steepest, 1.0) + noise, steps=100)
    assert steepest / 3 < RATES[index] < 3 * steepest


def test_a_slope_behind_the_minimum_does_not_count():
    losses = curve(1e-3, 0.5)
    losses[95:] = 0.99 * losses[95:] - 5 * np.arange(5)  # falls once more, faster, after it has diverged
    _, index = suggest_index(RATES[:95], losses[:95], steps=100)
    assert RATES[index] == pytest.approx(1e-3, rel=0.2)


def test_a_loss_that_never_falls_has_no_suggestion():
    assert suggest_index(RATES, np.linspace(1, 2, 100), steps=100)[1] is None
    assert suggest_index(RATES[:2], np.array([1.0, 0.5]), steps=100)[1] is None


def test_the_command(tmp_path):
    data = f"data.root={draw_folders(tmp_path / 'street')}"
    layers = [*SMALL, "train.device=cpu", data, f"runs_dir={tmp_path / 'runs'}", "optimizer.encoder_lr_factor=0.1"]
    done = run("-m segtrain", "lr-find", *layers, "--steps", 40)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "runs" / "street-lr-find"
    assert sorted(path.name for path in folder.iterdir()) == ["lr_find.csv", "lr_find.png"]
    table = pandas.read_csv(folder / "lr_find.csv")
    assert table["lr"].tolist() == pytest.approx(np.geomspace(1e-6, 10, 40)[: len(table)].tolist())
    chosen = float(done.stdout.split("optimizer.lr: ")[1].split()[0])
    assert np.isclose(table["lr"], chosen, rtol=0.05).any()
    assert f"optimizer.lr={chosen:.2g}" in done.stdout and "now 0.003" in done.stdout
    again = run("-m segtrain", "lr-find", *layers, "--steps", 40, "-o", tmp_path / "again")
    assert again.returncode == 0
    assert pandas.read_csv(tmp_path / "again" / "lr_find.csv").equals(table)  # the same seed, the same curve


def test_too_few_steps(tmp_path):
    done = run("-m segtrain", "lr-find", "--steps", 5)
    assert done.returncode == 2 and done.stderr == "--steps 5: too few for a curve; write 20 or more\n"
