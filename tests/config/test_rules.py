import shutil
import sys
from pathlib import Path

import pytest

from segtrain.config.rules import load_config
from segtrain.errors import ConfigError
from tests.conftest import PROJECT

USER_MODULE = """\
from torch import nn

class MyLoss(nn.Module):
    def __init__(self, mode, *, ignore_index, gamma=2.0):
        super().__init__()

    def forward(self, logits, mask):
        return logits.sum()
"""


@pytest.fixture
def complain(tmp_path, monkeypatch):
    """The lines that an experiment (its text) over the shipped config.yml gives, without the name of its file."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROJECT / "config.yml", tmp_path)

    def lines_of(text, *overrides):
        (tmp_path / "x.yml").write_text(text)
        with pytest.raises(ConfigError) as error:
            load_config(["x.yml", *overrides])
        return [line.removeprefix("x.yml:") for line in str(error.value).splitlines()]

    return lines_of


MISTAKES = {
    # model and encoder
    "model: {name: Unett}": "1: model.name: unknown model 'Unett'; did you mean 'Unet'?",
    "model: {name: [1]}": "1: model.name: expected a string, not [1]",
    "model: {decoder_chanels: [1, 2]}": (
        "1: model.decoder_chanels: Unet has no argument 'decoder_chanels'; did you mean 'decoder_channels'?"
    ),
    "model: {classes: 3}": (
        "1: model.classes: the number of outputs follows from data.classes; remove this line"
    ),
    "model: {in_channels: 4}": "1: model.in_channels: the number of input channels is data.channels; set it there",
    "model: {activation: softmax}": "1: model.activation: losses and metrics expect logits; remove this line",
    "model: {aux_params: {}}": (
        "1: model.aux_params: segtrain does not train a classification head; remove this line"
    ),
    "model: {encoder_name: resnet19}": (
        "1: model.encoder_name: smp has no encoder 'resnet19'; did you mean 'resnet18'?"
    ),
    "model: {encoder_name: convnext_tiny}": (
        "1: model.encoder_name: smp has no encoder 'convnext_tiny'; timm has it: write tu-convnext_tiny"
    ),
    "model: {encoder_name: resnet34, encoder_weights: imagnet}": (
        "1: model.encoder_weights: resnet34 has no weights 'imagnet'; did you mean 'imagenet'?"
    ),
    "model: {encoder_name: tu-resnet50.tv_in1k, encoder_weights: a1_in1k}": (
        "1: model.encoder_weights: timm writes the name of the weights after the encoder's, like "
        "tu-resnet50.a1_in1k; write imagenet here"
    ),
    "model: {encoder_name: tu-convnext_tiy}": (
        "1: model.encoder_name: timm has no model 'convnext_tiy'; did you mean 'tu-convnext_tiny'?"
    ),
    "model: {encoder_name: 34}": "1: model.encoder_name: expected a string, not 34",
    # mixing
    "data: {mix: {ClassMx: 0.5}}": "1: data.mix.ClassMx: unknown key; did you mean 'ClassMix'?",
    "data: {mix: {CutMix: 1.5}}": "1: data.mix.CutMix: should be less than or equal to 1, not 1.5",
    "data: {mix: {CutMix: often}}": "1: data.mix.CutMix: expected a number, not 'often'",
    "data: {mix: ClassMix}": "1: data.mix: expected a mapping of keys to values, not 'ClassMix'",
    "data: {mix: {CutMix: 0.7, ClassMix: 0.5}}": (
        "1: data.mix: the shares add up to 1.2, but must be at most 1: a sample is mixed in only one way"
    ),
    "data: {mix: {CopyPaste: 0.5}}": (
        "1: data.mix.CopyPaste: expected {p: 0.5, classes: [car, person]} with your object classes, not 0.5"
    ),
    "data: {mix: {CopyPaste: {p: 0.5}}}": "1: data.mix.CopyPaste.classes: is missing; it has no default",
    "data:\n  mix:\n    CopyPaste:\n      classes: [car, persn]": (
        "4: data.mix.CopyPaste.classes.1: no class 'persn'; did you mean 'person'?"
    ),
    # losses
    "loss: {DiceLos: 1}": "1: loss.DiceLos: unknown loss 'DiceLos'; did you mean 'DiceLoss'?",
    "loss:\n  CrossEntropyLoss:\n    smoothing: 1": (
        "3: loss.CrossEntropyLoss.smoothing: CrossEntropyLoss has no argument 'smoothing'; "
        "did you mean 'label_smoothing'?"
    ),
    # optimizer and schedule
    "optimizer: {name: AdamX}": "1: optimizer.name: unknown optimizer 'AdamX'; did you mean 'Adamax'?",
    "optimizer: {momentum: 0.9}": (
        "1: optimizer.momentum: AdamW has no argument 'momentum'; known: amsgrad, betas, capturable, "
        "differentiable, eps, foreach, fused, lr, maximize, weight_decay"
    ),
    "schedule: {name: StepLr}": "1: schedule.name: unknown schedule 'StepLr'; did you mean 'StepLR'?",
    "schedule: {name: StepLR}": "1: schedule.name: StepLR needs the argument step_size",
    "schedule: {name: CyclicLR}": "1: schedule.name: CyclicLR needs the argument base_lr",
    "schedule: {pct_stat: 0.1}": (
        "1: schedule.pct_stat: OneCycleLR has no argument 'pct_stat'; did you mean 'pct_start'?"
    ),
    # transforms
    "transforms:\n  train: [HorizontlFlip]": (
        "2: transforms.train.0: unknown transform 'HorizontlFlip'; did you mean 'HorizontalFlip'?"
    ),
    "transforms:\n  train:\n    - HorizontalFlip: {prob: 1}": (
        "3: transforms.train.0.HorizontalFlip.prob: HorizontalFlip has no argument 'prob'; known: p"
    ),
    "transforms:\n  train:\n    - OneOf:\n        - HorizontalFlip\n        - Rotate: {limits: 3}": (
        "5: transforms.train.0.OneOf.1.Rotate.limits: Rotate has no argument 'limits'; did you mean 'limit'?"
    ),
    "transforms:\n  train:\n    - OneOf:\n        p: 0.1\n        transforms: [Transpos]": (
        "5: transforms.train.0.OneOf.transforms.0: unknown transform 'Transpos'; did you mean 'Transpose'?"
    ),
    "transforms: {train: [RandomCrop: {height: 3}]}": (
        "1: transforms.train.0.RandomCrop: RandomCrop needs the argument width"
    ),
    "transforms: {train: [{HorizontalFlip: , VerticalFlip: }]}": (
        "1: transforms.train.0: a list item is one transform, not 2; indent its arguments below its name"
    ),
    "transforms: {train: [{HorizontalFlip: 0.5}]}": (
        "1: transforms.train.0.HorizontalFlip: expected arguments as {argument: value} or a list of transforms, not 0.5"
    ),
    "transforms: {train: [RandAugment]}": (
        "1: transforms.train.0: it moves images without their masks, for classification; write SomeOf with a list of "
        "transforms"
    ),
    "transforms: {train: [{torchvision.transforms.v2.MixUp: {alpha: 1}}]}": (
        "1: transforms.train.0.torchvision.transforms.v2.MixUp: it is for classification; use data.mix, which mixes "
        "samples with their masks"
    ),
    "transforms: {train: [{ScaleJitter: {target_size: [64, 64], scale: 2}}]}": (
        "1: transforms.train.0.ScaleJitter.scale: ScaleJitter has no argument 'scale'; did you mean 'scale_range'?"
    ),
    "transforms: {train: [5]}": "1: transforms.train.0: expected a string or mapping, not 5",
    "transforms: {train: [[HorizontalFlip]]}": (
        "1: transforms.train.0: expected a string or mapping, not ['HorizontalFlip']"
    ),
    "transforms: {train: [{Resize: [256, 256]}]}": (
        "1: transforms.train.0.Resize: expected arguments as {argument: value} or a list of transforms, not [256, 256]"
    ),
    "transforms: {val: [{Normalize: {mean: [0, 0, 0]}}]}": (
        "1: transforms.val.0.Normalize: the model itself normalizes images; remove it (model.mean and model.std set "
        "the values)"
    ),
    "transforms: {train: [{OneOf: [Normalize]}]}": (
        "1: transforms.train.0.OneOf.0: the model itself normalizes images; remove it (model.mean and model.std set "
        "the values)"
    ),
    "transforms: {train: [ToFloat]}": (
        "1: transforms.train.0: the model itself scales images from 0..255; remove it"
    ),
    "transforms: {train: [ToTensorV2]}": "1: transforms.train.0: batches are already tensors; remove it",
    # data formats
    "data: {format: folder}": "1: data.format: unknown format 'folder'; did you mean 'folders'?",
    "data: {format: [x]}": "1: data.format: expected a string, not ['x']",
    "data: {val_fractoin: 0.1}": (
        "1: data.val_fractoin: unknown key; format folders has no 'val_fractoin'; did you mean 'val_fraction'?"
    ),
    "data: {val_fraction: abc}": "1: data.val_fraction: expected a number or null, not 'abc'",
    "data: {images: 5}": (
        "1: data.images: expected a string or list of strings or mapping to strings or lists of strings, not 5"
    ),
    "data: {format: geotiff, classes: [a], images: {train: [a]}}": (
        "1: data.images: expected a string or mapping to strings, not {'train': ['a']}"
    ),
    "data: {mask_suffix: true}": "1: data.mask_suffix: expected a string or list of strings, not True",
    "data: {format: csv, classes: [a], val_fold: x}": "1: data.val_fold: expected an integer or null, not 'x'",
    "data: {format: csv, classes: [a], file: 3}": "1: data.file: expected a string, not 3",
    # a class of one's own that is not there
    "loss: {nowhere_at_all.Loss: 1}": (
        "1: loss.nowhere_at_all.Loss: 'nowhere_at_all.Loss' cannot be imported: No module named 'nowhere_at_all'"
    ),
    "optimizer: {name: math.pi}": "1: optimizer.name: 'math.pi' is not a subclass of torch.optim.Optimizer",
    "optimizer: {name: .Adam}": "1: optimizer.name: '.Adam' cannot be imported: Empty module name",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(complain, text):
    assert complain(text) == [MISTAKES[text]]


def test_mistakes_of_the_schema_and_of_the_libraries_come_together(complain):
    text = "train: {epochs: none}\nmodel:\n  name: Unett\n  encoder_name: resnet19\nloss: {DiceLos: 1}\n"
    assert complain(text, "optimizer.name=AdamX", "data.folds_of=3") == [
        "1: train.epochs: expected an integer, not 'none'",
        "command line: data.folds_of=3: data.folds_of: unknown key; format folders has no 'folds_of'; "
        "did you mean 'folds'?",
        "3: model.name: unknown model 'Unett'; did you mean 'Unet'?",
        "4: model.encoder_name: smp has no encoder 'resnet19'; did you mean 'resnet18'?",
        "5: loss.DiceLos: unknown loss 'DiceLos'; did you mean 'DiceLoss'?",
        "command line: optimizer.name=AdamX: optimizer.name: unknown optimizer 'AdamX'; did you mean 'Adamax'?",
    ]


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module of the user's own beside the experiment."""
    (tmp_path / "mine_for_rules.py").write_text(USER_MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "mine_for_rules"
    sys.modules.pop("mine_for_rules", None)


def test_a_class_of_ones_own(complain, user_module):
    assert complain("loss:\n  mine_for_rules.MyLoss: {gama: 1}\n") == [
        "2: loss.mine_for_rules.MyLoss.gama: mine_for_rules.MyLoss has no argument 'gama'; did you mean 'gamma'?"
    ]
    config = load_config(["loss={mine_for_rules.MyLoss: {coef: 2, gamma: 1}}"])
    assert config.loss["mine_for_rules.MyLoss"].coef == 2.0
    assert config.loss["mine_for_rules.MyLoss"].arguments == {"gamma": 1}
    assert complain("loss: {mine_for_rules.YourLoss: 1}") == [
        "1: loss.mine_for_rules.YourLoss: 'mine_for_rules.YourLoss' cannot be imported: "
        "module 'mine_for_rules' has no attribute 'YourLoss'"
    ]


GOOD = (
    "model.encoder_name=tu-convnext_tiny.fb_in22k model.name=FPN",
    "optimizer={name: Lamb, lr: 1e-3, betas: [0.9, 0.99]}",
    "schedule={name: OneCycleLR, max_lr: 0.1, total_steps: 10}",
    "schedule=null",
    "schedule={name: ReduceLROnPlateau, factor: 0.5}",
    "loss={FocalLoss: {coef: 1, gamma: 2}, MSELoss: {reduction: sum}}",
    "transforms.train=[{OneOf: {transforms: [{Sequential: [HorizontalFlip, Transpose]}], p: 0.5}}, HorizontalFlip: ]",
    "data.val_fraction=0.5 data.images=a data.masks=b",
    "data={format: csv, root: x, classes: [a, b], val_fold: 1}",
    "data={format: camvid, root: x}",
)


@pytest.mark.parametrize("overrides", GOOD)
def test_what_is_right_passes(overrides, monkeypatch):
    monkeypatch.chdir(PROJECT)
    words = overrides.split(" ") if "{" not in overrides and "[" not in overrides else [overrides]
    load_config(words)


def test_resume_takes_the_configuration_of_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "street-1"
    run.mkdir(parents=True)
    with pytest.raises(ConfigError) as error:
        load_config([], resume="runs/street-1")
    assert str(error.value) == "runs/street-1: is not a run folder; it has no config.yml"
    (run / "config.yml").write_text("name: resumed\ndata: {root: x, classes: [a, b]}\ntrain: {epochs: 7}\n")
    config = load_config(["train.epochs=9"], resume="runs/street-1")
    assert (config.name, config.train.epochs) == ("resumed", 9)
    with pytest.raises(ConfigError) as error:
        load_config(["train.epoch=9"], resume="runs/street-1")
    assert str(error.value) == "command line: train.epoch=9: train.epoch: unknown key; did you mean 'epochs'?"
    (run / "config.yml").write_text("name: resumed\ndata: {root: x, clases: [a, b]}\n")
    with pytest.raises(ConfigError) as error:
        load_config([], resume="runs/street-1")
    assert "runs/street-1/config.yml:2: data.clases: unknown key" in str(error.value)


def test_without_a_config_yml_the_defaults_are_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        load_config([])
    wanted = f"config.yml: is not in this folder ({tmp_path}); give an experiment file, like my_experiment.yml"
    assert str(error.value) == wanted
    Path("mine.yml").write_text("data: {root: here, classes: [a, b]}\n")
    config = load_config(["mine.yml", "train.epochs=5"])
    assert (config.model.name, config.train.epochs, list(config.loss)) == ("Unet", 5, ["CrossEntropyLoss"])
    with pytest.raises(ConfigError) as error:
        load_config(["train.epochs=5"])
    assert str(error.value) == "the defaults: data: is missing; it has no default"
