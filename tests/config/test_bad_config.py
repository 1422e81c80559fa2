"""Every mistake in a configuration is one line that says what to write, exit status 2, and costs nothing."""

import re

import pytest

from tests.bad_input import ONE_EPOCH, assert_one_line

# What is written on the command line, and the line that it gives behind "command line: WRITTEN: ".
WRITTEN = {
    "unknown key": ("train.epoch=3", r"train\.epoch: unknown key; did you mean 'epochs'\?"),
    "unknown section": ("optimiser={lr: 1}", r"optimiser: unknown key; did you mean 'optimizer'\?"),
    "wrong type": ("train.epochs=many", r"train\.epochs: expected an integer, not 'many'"),
    "out of range": ("train.epochs=0", r"train\.epochs: should be greater than or equal to 1, not 0"),
    "none of the words": (
        "train.precision=fp8",
        r"train\.precision: 'fp8' is not one of auto, fp32, bf16, fp16",
    ),
    "argument of smp": (
        "model.decoder_chanels=[8]",
        r"model\.decoder_chanels: Unet has no argument 'decoder_chanels'; did you mean 'decoder_channels'\?",
    ),
    "argument of torch": (
        "optimizer.momentun=0.9",
        r"optimizer\.momentun: AdamW has no argument 'momentun'; .+",
    ),
    "argument of timm": (
        "optimizer={name: Lamb, beta: 1}",
        r"optimizer\.beta: Lamb has no argument 'beta'; did you mean 'betas'\?",
    ),
    "argument of a schedule": (
        "schedule.pct_stat=0.1",
        r"schedule\.pct_stat: OneCycleLR has no argument 'pct_stat'; did you mean 'pct_start'\?",
    ),
    "argument of albumentations": (
        "transforms.train=[{HorizontalFlip: {prob: 1}}]",
        r"transforms\.train\.0\.HorizontalFlip\.prob: HorizontalFlip has no argument 'prob'; known: p",
    ),
    "argument of a loss": (
        "loss.DiceLoss={smoth: 1}",
        r"loss\.DiceLoss\.smoth: DiceLoss has no argument 'smoth'; did you mean 'smooth'\?",
    ),
    "architecture": ("model.name=UNet3", r"model\.name: unknown model 'UNet3'; did you mean 'Unet'\?"),
    "encoder": (
        "model.encoder_name=resnet19",
        r"model\.encoder_name: smp has no encoder 'resnet19'; did you mean 'resnet\d+'\?",
    ),
    "timm encoder": (
        "model.encoder_name=tu-mobilenetv3_smal_050",
        r"model\.encoder_name: timm has no model 'mobilenetv3_smal_050'; did you mean 'tu-mobilenetv3_small_050'\?",
    ),
    "loss": ("loss.DiceLos=1", r"loss\.DiceLos: unknown loss 'DiceLos'; did you mean 'DiceLoss'\?"),
    "transform": (
        "transforms.train=[HorizontalFlop]",
        r"transforms\.train\.0: unknown transform 'HorizontalFlop'; did you mean 'HorizontalFlip'\?",
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_is_written_wrong(main, dataset, tmp_path, capsys, case):
    written, pattern = WRITTEN[case]
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", written) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_line(captured.err, re.escape(f"command line: {written}: ") + pattern)
    assert not (tmp_path / "runs").exists()


# Settings that only the library itself, or the data, can refuse.
REFUSED = {
    "range of albumentations": (
        ["transforms.train=[{HorizontalFlip: {p: 2}}]"],
        r"transforms\.train\.0: HorizontalFlip: p: Input should be less than or equal to 1, not 2",
    ),
    "range of a schedule": (["schedule.pct_start=3"], r"schedule: OneCycleLR: .+pct_start.+"),
    "range of an optimizer": (["optimizer.betas=[2, 2]"], r"optimizer: AdamW: Invalid beta parameter at index 0: 2"),
    "depth of a decoder": (["model.decoder_channels=[8, 8]"], r"model: Unet with encoder tu-mobilenetv3_small_050: .+"),
    "weights of a loss": (
        ["loss={CrossEntropyLoss: {class_weights: [1, 2]}}"],
        r"loss\.CrossEntropyLoss: class_weights has 2 numbers for 7 classes",
    ),
    "weights of torch's loss": (
        ["loss={torch.nn.CrossEntropyLoss: {weight: [1, 2]}}"],
        r"loss\.torch\.nn\.CrossEntropyLoss: weight tensor should be defined .+",
    ),
    "crop larger than the image": (
        ["transforms.train=[{RandomCrop: {height: 96, width: 64}}]"],
        r".+/images/\d+\.png: .*\(96, 64\).+\(64, 80\).*; write pad_if_needed: true for the crop in transforms\.train",
    ),
    "images of one batch differ": (
        ["transforms.train=[{RandomScale: {scale_limit: [-0.5, 0.5], p: 1}}]"],
        r"images of one batch differ in height and width: .+; end transforms\.train with RandomCrop: .+",
    ),
    "a batch of one": (
        ["model.name=UPerNet", "model.decoder_channels=null", "data.batch_size=1"],
        r"data\.batch_size: UPerNet tu-mobilenetv3_small_050 has a BatchNorm that needs at least two images in a "
        r"training batch, but there is one; raise data\.batch_size, and add images if there are too few",
    ),
    "device": (["train.device=cuda:99"], r"device 'cuda:99' cannot be used: .+"),
    "runs_dir is a file": (["runs_dir=train.py"], r"train\.py: cannot create a run folder there: .+"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_libraries_refuse(main, dataset, tmp_path, capsys, case):
    written, pattern = REFUSED[case]
    assert main(*ONE_EPOCH, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}", *written) == 2
    assert_one_line(capsys.readouterr().err, pattern)
