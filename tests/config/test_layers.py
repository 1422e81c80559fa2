from itertools import permutations
from typing import Annotated, Literal

import pytest
from pydantic import Field

from segtrain.config.layers import load_tree
from segtrain.config.mistakes import validate
from segtrain.config.schema import Config
from segtrain.config.section import NamedSection, Section, describe_type, suggest
from segtrain.errors import ConfigError

BASE = """\
name: base
data:
  format: folders
  root: here
  classes: [sky, road, car]
  images: {train: a, val: b}
loss:
  CrossEntropyLoss: 1.0
  DiceLoss: 0.5
optimizer:
  name: AdamW
  lr: 2e-3
  betas: [0.9, 0.99]
transforms:
  train:
    - HorizontalFlip
    - RandomCrop: {height: 8, width: 9}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Lay files (given as text) and overrides over BASE; the files are called one.yml, two.yml, and so on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yml").write_text(BASE)

    def load_layers(*layers, base="config.yml"):
        names = iter(("one.yml", "two.yml", "three.yml"))
        arguments = []
        for layer in layers:
            if layer.endswith("\n"):
                file = tmp_path / next(names)
                file.write_text(layer)
                layer = file.name
            arguments.append(layer)
        return load_tree(arguments, Config, base=base)

    return load_layers


def mistakes(tree, **kwargs):
    with pytest.raises(ConfigError) as error:
        validate(tree, Config, **kwargs)
    return str(error.value).splitlines()


def test_layers_are_laid_over_one_another_in_their_order(load):
    plain = load("train: {epochs: 3, patience: 2}\nseed: 1\n", "train: {epochs: 4}\n", "seed=7", "seed=8").plain()
    assert plain["train"] == {"epochs": 4, "patience": 2}
    assert plain["seed"] == 8 and plain["name"] == "base"


def test_the_base_file_given_as_a_layer_is_not_laid_twice(load):
    assert load("seed=3", "config.yml").plain() == load("seed=3").plain()


def test_lists_and_arguments_are_replaced_and_sections_merged(load):
    plain = load("data:\n  classes: [dog]\n  images: {val: c}\n").plain()
    assert plain["data"]["classes"] == ["dog"] and "root" in plain["data"]
    assert plain["data"]["images"] == {"val": "c"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("loss.my_losses.EdgeLoss=0.5", {"my_losses.EdgeLoss": 0.5}),
        ("loss.my.losses.EdgeLoss.coef=0.5", {"my.losses.EdgeLoss": {"coef": 0.5}}),
        ("loss.FocalLoss.gamma=1", {"FocalLoss": {"gamma": 1}}),
        ("loss.DiceLoss.coef=0.2", {"DiceLoss": {"coef": 0.2}}),
    ],
)
def test_terms_of_the_loss_may_be_paths_to_classes(load, override, expected):
    below = {"CrossEntropyLoss": 1.0, "DiceLoss": 0.5}
    assert load(override).plain()["loss"] == below | expected


SGD = {"name": "SGD", "lr": 0.1, "momentum": 0.9}


@pytest.mark.parametrize("order", list(permutations(["name=SGD", "momentum=0.9", "lr=0.1"])), ids=str)
def test_a_command_line_is_one_layer_in_any_order(load, order):
    file = "optimizer: {name: AdamW, lr: 0.01, betas: [0.9, 0.99], fused: true}\n"
    assert load(file, *(f"optimizer.{part}" for part in order)).plain()["optimizer"] == SGD


@pytest.mark.parametrize(
    ("overrides", "path", "expected"),
    [
        (["optimizer.momentum=0.9", "optimizer={name: SGD, lr: 0.1}"], ("optimizer",), SGD),
        (["data.classes=[a, b]", "data.format=csv"], ("data", "classes"), ["a", "b"]),
        (["model.psp_out_channels=64", "model.name=PSPNet"], ("model",), {"name": "PSPNet", "psp_out_channels": 64}),
        (["schedule.gamma=0.5", "schedule.name=StepLR"], ("schedule",), {"name": "StepLR", "gamma": 0.5}),
        (["data.root=one", "data={root: two, format: csv}"], ("data", "root"), "two"),
        (["loss={FocalLoss: 1}", "loss.DiceLoss=0.3"], ("loss",), {"FocalLoss": 1, "DiceLoss": 0.3}),
        (["train.epochs=3", "train.epochs=4"], ("train", "epochs"), 4),
    ],
)
def test_a_name_acts_first_and_the_last_of_two_values_counts(load, overrides, path, expected):
    value = load(*overrides).plain()
    for key in path:
        value = value[key]
    assert value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/x/run #2", "/x/run #2"),
        ("#2", "#2"),
        ("[a #1, '# b']", ["a #1", "# b"]),
        ("{a #1: None}", {"a #1": None}),
        ("None", None),
        ("[None, none, null]", [None, "none", None]),
        ("1e-3", 0.001),
    ],
)
def test_a_value_of_the_command_line_is_what_was_typed(load, text, expected):
    assert load(f"data.anything={text}").plain()["data"]["anything"] == expected


def test_null_takes_an_inherited_key_out(load):
    file = "optimizer: {lr: 0.1, betas: [0.9, 0.9]}\ntrain: {clip_norm: 1.0}\nschedule: {name: StepLR}\n"
    plain = load(file, "optimizer.betas=null", "optimizer.lr=null", "train.clip_norm=null", "schedule=null").plain()
    assert plain["optimizer"] == {"name": "AdamW"} and plain["train"]["clip_norm"] is None and plain["schedule"] is None


@pytest.mark.parametrize("argument", ["data.root=", "optimizer.lr= "])
def test_an_empty_value_is_refused(load, argument):
    with pytest.raises(ConfigError) as error:
        load(argument)
    path = argument.partition("=")[0]
    text = f"command line: {argument}: is empty; is a variable unset? {path}=null removes a key"
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("data.classes.1=lake", ("classes",), ["sky", "lake", "car"]),
        ("data.classes.1.color=[1, 2, 3]", ("classes",), ["sky", {"name": "road", "color": [1, 2, 3]}, "car"]),
        ("data.classes=[a, b]", ("classes",), ["a", "b"]),
        ("data.images.test=c", ("images",), {"train": "a", "val": "b", "test": "c"}),
        ("data.root=a=b", ("root",), "a=b"),
    ],
)
def test_overrides(load, override, path, expected):
    value = load(override).plain()["data"]
    for key in path:
        value = value[key]
    assert value == expected


def test_an_override_reaches_into_a_list_of_transforms(load):
    plain = load("transforms.train.1.RandomCrop.width=5", "transforms.train.0.HorizontalFlip.p=0.1").plain()
    assert plain["transforms"]["train"] == [{"HorizontalFlip": {"p": 0.1}}, {"RandomCrop": {"height": 8, "width": 5}}]


@pytest.mark.parametrize(
    ("layer", "loss"),
    [
        ("loss: {LovaszLoss: 1}\n", {"LovaszLoss": 1}),
        ("loss={LovaszLoss: 1}", {"LovaszLoss": 1}),
        ("loss.DiceLoss=0.3", {"CrossEntropyLoss": 1.0, "DiceLoss": 0.3}),
        ("loss.LovaszLoss=2", {"CrossEntropyLoss": 1.0, "DiceLoss": 0.5, "LovaszLoss": 2}),
        ("loss.DiceLoss.smooth=1", {"CrossEntropyLoss": 1.0, "DiceLoss": {"coef": 0.5, "smooth": 1}}),
        ("loss.DiceLoss.coef=2", {"CrossEntropyLoss": 1.0, "DiceLoss": {"coef": 2}}),
        ("loss.DiceLoss=null", {"CrossEntropyLoss": 1.0}),
    ],
)
def test_a_loss_is_replaced_as_a_whole_but_one_term_can_be_set(load, layer, loss):
    assert load(layer).plain()["loss"] == loss


@pytest.mark.parametrize(
    ("layer", "mix"),
    [
        ("data: {mix: {ClassMix: 0.2}}\n", {"ClassMix": 0.2}),
        ("data.mix.ClassMix=0.2", {"CutMix": 0.5, "ClassMix": 0.2}),
        ("data.mix.CutMix=null", {}),
        ("data.mix=null", None),
    ],
)
def test_mixing_is_replaced_as_a_whole_but_one_share_can_be_set(load, layer, mix):
    assert load("data: {mix: {CutMix: 0.5}}\n", layer).plain()["data"]["mix"] == mix


def test_a_new_coefficient_keeps_the_rest_of_its_term(load):
    tree = load("loss: {DiceLoss: {coef: 1, from_epoch: 3, smooth: 1}}\n", "loss.DiceLoss=0.3")
    assert tree.plain()["loss"] == {"DiceLoss": {"coef": 0.3, "from_epoch": 3, "smooth": 1}}


def test_another_name_drops_the_arguments_of_the_old_one_and_keeps_the_declared_fields(load):
    assert load("optimizer: {name: SGD, momentum: 0.9}\n").plain()["optimizer"] == {
        "name": "SGD",
        "lr": 0.002,
        "momentum": 0.9,
    }
    assert load("optimizer.name=SGD").plain()["optimizer"] == {"name": "SGD", "lr": 0.002}
    assert load("optimizer.name=AdamW").plain()["optimizer"]["betas"] == [0.9, 0.99]
    assert load("optimizer.name=SGD", "optimizer.momentum=0.5").plain()["optimizer"]["momentum"] == 0.5
    # Another format is another dataset: its classes are not those of the old one.
    assert load("data.format=csv").plain()["data"] == {"format": "csv", "root": "here"}


def test_a_section_can_be_null_and_be_written_again(load):
    assert load("schedule=null").plain()["schedule"] is None
    assert load("schedule: null\n", "schedule: {name: StepLR, step_size: 3}\n").plain()["schedule"]["step_size"] == 3


def test_origins_follow_the_value(load):
    tree = load("train:\n  epochs: 3\n  patience: 2\n", "train:\n\n  epochs: 4\n", "train.patience=5")
    assert tree.origin_of(("name",)) == "config.yml:1"
    assert tree.origin_of(("train", "epochs")) == "two.yml:3"
    assert tree.origin_of(("train", "patience")) == "command line: train.patience=5"
    assert tree.origin_of(("data", "classes", 2)) == "config.yml:5"


def test_override_mistakes(load):
    for override, text in {
        "data.classes.3=x": "command line: data.classes.3=x: there is no item '3' in this list of 3; items are "
        "numbered from 0",
        "data.classes.a=x": "command line: data.classes.a=x: there is no item 'a' in this list of 3; items are "
        "numbered from 0",
        "data..root=x": "command line: data..root=x: 'data..root' is not a key like train.epochs",
        "seed=[1": "command line: seed=[1: not valid YAML: expected ',' or ']', but got '<stream end>'",
    }.items():
        with pytest.raises(ConfigError) as error:
            load(override)
        assert str(error.value) == text


def test_all_mistakes_at_once(load):
    tree = load(
        "optimiser: {name: AdamW}\n"
        "data:\n"
        "  classes: [{nam: sky}, 5]\n"
        "  workers: many\n"
        "  ignore_values: [x, [1, 2, 300]]\n"
        "train:\n"
        "  epochs: 0\n"
        "  precision: bf32\n"
        "  compile: on\n"
        "  clip_norm: abc\n"
        "  ema_decay: 1.5\n"
        "  monitor: 3\n"
        "model: {encoder_weights: [1]}\n"
        "loss: {DiceLoss: abc}\n"
        "name: a b\n",
        "seed=1.5",
        "log=5",
        "schedule.interval=day",
    )
    assert sorted(mistakes(tree)) == sorted(
        [
            "one.yml:1: optimiser: unknown key; did you mean 'optimizer'?",
            "one.yml:3: data.classes.0.name: is missing; it has no default",
            "one.yml:3: data.classes.0.nam: unknown key; did you mean 'name'?",
            "one.yml:3: data.classes.1: expected just its name or a mapping, not 5",
            "one.yml:4: data.workers: expected an integer or auto, not 'many'",
            "one.yml:5: data.ignore_values.0: expected a number or list of integers, not 'x'",
            "one.yml:5: data.ignore_values.1: expected a number or list of integers, not [1, 2, 300]",
            "one.yml:7: train.epochs: should be greater than or equal to 1, not 0",
            "one.yml:8: train.precision: 'bf32' is not one of auto, fp32, bf16, fp16; did you mean 'fp32'?",
            "one.yml:10: train.clip_norm: expected a number, not 'abc'",
            "one.yml:11: train.ema_decay: should be less than 1, not 1.5",
            "one.yml:12: train.monitor: expected a string, not 3",
            "one.yml:13: model.encoder_weights: expected a string or true or false or null, not [1]",
            "one.yml:14: loss.DiceLoss.coef: expected a number, not 'abc'",
            "one.yml:15: name: expected only letters, digits and _ - ., not 'a b'",
            "command line: seed=1.5: seed: expected an integer, not 1.5",
            "command line: log=5: log: expected a mapping of keys to values, not 5",
            "command line: schedule.interval=day: schedule.interval: 'day' is not one of step, epoch",
        ]
    )


def test_on_and_off_are_booleans_where_the_field_is_one(load):
    config = validate(load("train: {compile: on, channels_last: no}\nname: on\n"), Config)
    assert config.train.compile is True and config.train.channels_last is False and config.name == "on"


def test_a_missing_section_is_told_at_the_file(load, tmp_path):
    (tmp_path / "empty.yml").write_text("")
    assert mistakes(load(base="empty.yml")) == ["empty.yml:1: data: is missing; it has no default"]


@pytest.mark.parametrize(
    ("word", "known", "phrase"),
    [
        ("Unett", ["Unet", "FPN"], "did you mean 'Unet'?"),
        ("unet", ["Unet", "FPN"], "did you mean 'Unet'?"),
        ("xyz", ["b", "a"], "known: a, b"),
        ("xyz", [f"name{index}" for index in range(41)], "none of the 41 known names is similar"),
        ("xyz", [], "none of the 0 known names is similar"),
    ],
)
def test_suggestions(word, known, phrase):
    assert suggest(word, known) == phrase


class Part(Section):
    number: int = 0


class Named(NamedSection):
    name: str = "a"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Field(ge=0)] | Literal["auto"], "integer or auto"),
        (list[float] | None, "list of numbers or null"),
        (list[Annotated[int, Field(ge=0)] | list[int]], "list of integers or lists of integers"),
        (str | bool, "string or true or false"),
        (Part | None, "mapping or null"),
        (dict[str, int], "mapping to integers"),
        (dict[str, Part], "mapping"),
        (Literal["a", "b"], "a or b"),
    ],
)
def test_types_in_words(annotation, words):
    assert describe_type(annotation) == words


def test_arguments_of_a_named_section():
    assert Named.model_validate({"name": "x", "depth": [1]}).arguments == {"depth": [1]}
