"""The section `tune`: what a range takes, and every mistake in one, a line each."""

from pathlib import Path

import pytest

from segtrain.config.log_tune_schema import TuneConfig, TuneRange
from segtrain.config.rules import is_whole, load_config
from segtrain.config.schema import Config
from segtrain.errors import ConfigError
from segtrain.training.run import plain_config

BASE = "data: {root: x, classes: [a, b]}\ntransforms: {train: [HorizontalFlip]}\n"

# A range, and what is said of it behind `FILE:5: tune.ranges.`.
WRONG = {
    "unknown key": ("optimiser.lr: [1, 2]", "optimiser.lr: optimiser: unknown key; did you mean 'optimizer'?"),
    "out of bounds": ("optimizer.lr: {low: 0, high: 1}", "optimizer.lr: should be greater than 0, not 0"),
    "one choice of several": ("data.batch_size: [4, x]", "data.batch_size: expected an integer or auto, not 'x'"),
    "not an argument": (
        "optimizer.momentum: {low: 0, high: 1}",
        "optimizer.momentum: AdamW has no argument 'momentum'",
    ),
    "unknown name": (
        "optimizer.name: [AdamW, Adamm]",
        "optimizer.name: unknown optimizer 'Adamm'; did you mean 'Adam'",
    ),
    "unknown loss": ("loss.DiceLos: [0, 1]", "loss.DiceLos: unknown loss 'DiceLos'; did you mean 'DiceLoss'?"),
    "no such item": ("transforms.train.3.p: [0, 1]", "transforms.train.3.p: there is no item '3' in this list of 1"),
    "the wrong way round": ("optimizer.lr: {low: 2, high: 1}", "optimizer.lr: low 2 must be less than high 1"),
    "one end": ("optimizer.lr: {low: 2}", "optimizer.lr: write {low: 1e-4, high: 1e-2}, or a list of choices"),
    "the logarithm of 0": ("optimizer.weight_decay: {low: 0, high: 1, log: true}", "optimizer.weight_decay: log: low"),
    "a misspelt end": ("optimizer.lr: {low: 1, hgh: 2}", "optimizer.lr.hgh: unknown key; did you mean 'high'?"),
    "a number alone": ("optimizer.lr: 3", "optimizer.lr: expected a mapping of keys to values, not 3"),
    "a single choice": ("optimizer.lr: [3]", "optimizer.lr.choices: should have at least 2 items"),
    "choices with ends": ("optimizer.lr: {choices: [1, 2], low: 1}", "optimizer.lr: choices cannot be combined"),
    "luck": ("seed: [1, 2]", "seed: the best of several seeds is only luck; remove it"),
    "another measure": ("train.monitor: [miou, mdice]", "train.monitor: scores of different metrics"),
    "not a key": ("data..root: [a, b]", "data..root: 'data..root' is not a key"),
}


def load(folder: Path, text: str) -> Config:
    (folder / "x.yml").write_text(BASE + text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return load_config(["x.yml"])


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_range_is_one_line(case, tmp_path):
    written, said = WRONG[case]
    with pytest.raises(ConfigError) as error:
        load(tmp_path, f"tune:\n  ranges:\n    {written}\n")
    (line,) = error.value.args
    assert line.startswith(f"x.yml:5: tune.ranges.{said}")


def test_all_mistakes_are_told_at_once(tmp_path):
    text = "tune:\n  trials: 0\n  ranges:\n    optimiser.lr: [1, 2]\n    data.batch_size: [0, 1]\n"
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text + "train: {epoch: 3}\n")
    assert [line.split(": ")[0] for line in error.value.args] == ["x.yml:8", "x.yml:4", "x.yml:6", "x.yml:7"]


@pytest.mark.parametrize("text", ["tune: {}", "tune: {ranges: {}}", "tune: 3", "tune: {ranges: [1]}"])
def test_a_search_over_nothing(text, tmp_path):
    with pytest.raises(ConfigError, match=r"x\.yml:3: tune"):
        load(tmp_path, text)


def test_whole_numbers_where_the_key_takes_no_others():
    numbers, steps = TuneRange(low=0, high=4), TuneRange(low=32, high=96, step=32)
    kinds = {"data.batch_size": True, "train.epochs": True, "optimizer.lr": False, "loss.DiceLoss": False}
    assert {key: is_whole(key, numbers) for key in kinds} == kinds
    # What belongs to a library has no declared type: a probability from 0 to 1 is not to be 0 or 1 alone.
    assert not is_whole("transforms.train.0.HorizontalFlip.p", numbers)
    assert is_whole("transforms.train.0.RandomCrop.height", steps)


def test_values_are_written_as_yaml_reads_them(tmp_path):
    assert TuneRange(low=1e-5, high=1e-2).ends() == ["1e-05", "0.01"]
    assert TuneRange(low=2, high=8).ends(whole=True) == ["2", "8"]
    choices = [4, 0.5, "imagenet", None, "1e-3", [16, 8], {"a": True}]
    texts = ["4", "0.5", "imagenet", "null", "'1e-3'", "[16, 8]", "{a: true}"]
    assert TuneRange(choices=choices).ends() == texts


def test_a_training_ignores_the_search(tmp_path):
    config = load(tmp_path, "tune: {ranges: {optimizer.lr: [1e-3, 1e-2]}}")
    assert isinstance(config.tune, TuneConfig) and config.tune.trials == 20
    assert "tune" not in plain_config(config)
    assert "tune" not in config.model_dump()


def test_layers_merge_ranges(tmp_path):
    (tmp_path / "y.yml").write_text("tune: {trials: 5, ranges: {optimizer.lr: {high: 2e-2}, train.epochs: [1, 2]}}")
    (tmp_path / "x.yml").write_text(BASE + "tune: {ranges: {optimizer.lr: {low: 1e-3, high: 1e-2}}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        tune = load_config(["x.yml", "y.yml", "tune.trials=7"]).tune
    assert tune.trials == 7 and tune.ranges["optimizer.lr"] == TuneRange(low=1e-3, high=2e-2)
    assert tune.ranges["train.epochs"].choices == [1, 2]
