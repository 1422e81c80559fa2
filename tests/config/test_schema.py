from pathlib import Path

import pytest

from segtrain.config.mistakes import validate
from segtrain.config.schema import Config, DataConfig
from segtrain.config.tree import parse_yaml
from segtrain.errors import ConfigError


def check(text):
    """Validate an experiment of these lines below a data section that is right."""
    return validate(parse_yaml(text, source="x.yml"), Config)


def data(**values):
    return DataConfig(**({"root": "x", "classes": ["sky", "road", "car"]} | values))


def test_classes_may_be_bare_names():
    config = data(classes=["sky", {"name": "road", "value": 7, "color": [1, 2, 3]}])
    assert [item.name for item in config.classes] == ["sky", "road"]
    assert config.classes[1].value == 7 and config.classes[0].value is None


@pytest.mark.parametrize(
    ("classes", "mode", "names"),
    [
        (["sky", "road"], "multiclass", ["sky", "road"]),
        (["crack"], "binary", ["background", "crack"]),
    ],
)
def test_the_mode_follows_from_the_number_of_classes(classes, mode, names):
    config = data(classes=classes)
    assert (config.mode, config.class_names) == (mode, names)


def test_a_path_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    assert data(root="~/streets").root == Path("/home/somebody/streets")
    assert check("data: {root: x, classes: [a]}\nruns_dir: ~/runs").runs_dir == Path("/home/somebody/runs")


def test_further_keys_are_the_arguments_of_the_format():
    assert data(images="a", val_fraction=0.1).arguments == {"images": "a", "val_fraction": 0.1}


def test_defaults_make_an_experiment():
    config = check("data: {root: x, classes: [a, b]}")
    assert {name: term.coef for name, term in config.loss.items()} == {"CrossEntropyLoss": 1.0}
    assert (config.model.name, config.optimizer.name, config.schedule.name) == ("Unet", "AdamW", "OneCycleLR")
    assert check("data: {root: x, classes: [a, b]}\nschedule: null").schedule is None


def test_terms_of_the_loss():
    terms = "{DiceLoss: 0.5, FocalLoss: , LovaszLoss: {coef: 2, from_epoch: 3, x: 1}}"
    loss = check(f"data: {{root: x, classes: [a, b]}}\nloss: {terms}").loss
    assert {name: (term.coef, term.from_epoch, term.arguments) for name, term in loss.items()} == {
        "DiceLoss": (0.5, 0, {}),
        "FocalLoss": (1.0, 0, {}),
        "LovaszLoss": (2.0, 3, {"x": 1}),
    }


@pytest.mark.parametrize("monitor", ["miou", "fwiou", "iou/a", "recall/b", "dice/c/d"])
def test_monitors_that_exist(monitor):
    assert check(f"data: {{root: x, classes: [a, b, c/d]}}\ntrain: {{monitor: {monitor}}}").train.monitor == monitor


def test_the_background_of_one_class_can_be_monitored():
    check("data: {root: x, classes: [crack]}\ntrain: {monitor: iou/background}")


CLASSES = "data: {root: x, classes: [a, b]}\n"
MISTAKES = {
    "data: {root: x, classes: []}": "x.yml:1: data.classes: is empty; list at least one class",
    "data: {classes: [a]}": "x.yml:1: data.root: is missing; it has no default",
    "data: {root: x, classes: [a, b, a, b]}": "x.yml:1: data.classes: class names must be unique; repeated: a, b",
    "data:\n  root: x\n  classes:\n    - {name: a, value: 1, values: [2]}\n": (
        "x.yml:4: data.classes.0: value and values exclude each other; write only one of them"
    ),
    "data: {root: x, classes: [{name: a, color: [1, 2]}]}": (
        "x.yml:1: data.classes.0.color: should have at least 3 items, not [1, 2]"
    ),
    "data: {root: x, classes: [{name: a, color: [1, 2, 256]}]}": (
        "x.yml:1: data.classes.0.color.2: should be less than or equal to 255, not 256"
    ),
    "data: {root: x, classes: [{name: a, value: -1}]}": (
        "x.yml:1: data.classes.0.value: should be greater than or equal to 0, not -1"
    ),
    "data:\n  root: x\n  classes: [a, b, c]\n  ignore_index: 2\n": (
        "x.yml:4: data.ignore_index: 2 is a class index; choose 3 or more, like 255"
    ),
    "data:\n  root: x\n  classes: [a]\n  ignore_index: 1\n": (
        "x.yml:4: data.ignore_index: 1 is a class index; choose 2 or more, like 255"
    ),
    "data: {root: x, classes: [a], ignore_index: 70000}": (
        "x.yml:1: data.ignore_index: should be less than or equal to 65535, not 70000"
    ),
    "data: {root: x, classes: [a], channels: 0}": (
        "x.yml:1: data.channels: should be greater than or equal to 1, not 0"
    ),
    CLASSES + "train:\n  monitor: iou/c\n": "x.yml:3: train.monitor: no metric 'iou/c'; did you mean 'iou/b'?",
    CLASSES + "train:\n  monitor: miuo\n": "x.yml:3: train.monitor: no metric 'miuo'; did you mean 'miou'?",
    CLASSES + "model:\n  mean: [1, 2]\n": "x.yml:3: model.mean: has 2 numbers for 3 channels",
    CLASSES + "model:\n  std: [0.1, 0.1, 0]\n": "x.yml:3: model.std.2: should be greater than 0, not 0",
    CLASSES + "loss: {}": "x.yml:2: loss: is empty; list at least one loss, like CrossEntropyLoss: 1.0",
    CLASSES + "loss: [DiceLoss]": "x.yml:2: loss: expected a mapping of keys to values, not ['DiceLoss']",
    CLASSES + "loss: {DiceLoss: {from_epoch: 2}, LovaszLoss: {from_epoch: 1}}": (
        "x.yml:2: loss: no term is active in epoch 0; remove from_epoch from at least one"
    ),
    CLASSES + "seed: -1": "x.yml:2: seed: should be greater than or equal to 0, not -1",
    CLASSES + "name: ../up": "x.yml:2: name: expected only letters, digits and _ - ., not '../up'",
    CLASSES + "model: {freeze: decoder}": (
        "x.yml:2: model.freeze: 'decoder' is not one of encoder, encoder_batchnorm; did you mean 'encoder'?"
    ),
    CLASSES + "log: {wandb: {artifacts: [last]}}": (
        "x.yml:2: log.wandb.artifacts.0: 'last' is not one of best, latest; did you mean 'latest'?"
    ),
    CLASSES + "log: {wandb: {mode: off}}": (
        "x.yml:2: log.wandb.mode: 'off' is not one of online, offline, disabled; did you mean 'offline'?"
    ),
    CLASSES + "optimizer: {lr: fast}": "x.yml:2: optimizer.lr: expected a number, not 'fast'",
    CLASSES + "train: {accumulate_steps: 0}": (
        "x.yml:2: train.accumulate_steps: should be greater than or equal to 1, not 0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text):
    with pytest.raises(ConfigError) as error:
        check(text)
    assert str(error.value) == MISTAKES[text]
