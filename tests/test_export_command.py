"""python -m segtrain export, in this process."""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_folders
from exporting import UNET, images_of, real_network

from segtrain.checkpoint import save_checkpoint
from segtrain.command import run_command
from segtrain.data.reading import read_image
from segtrain.export.command import add_arguments
from segtrain.export.command import main as main_of_command
from segtrain.infer import Predictor

DATA = {"images": {"train": "train/images", "val": "val/images"}, "masks": {"train": "train/masks", "val": "val/masks"}}


@pytest.fixture
def run(tmp_path) -> Path:
    """A folder with the best.pt of a network that has seen nothing; its data set lies beside it."""
    network = real_network(**UNET)
    config = network.config.model_dump(mode="json")
    config["data"] |= {"root": str(draw_folders(tmp_path / "data", train=5, val=4, classes=3)), **DATA}
    run = tmp_path / "run"
    run.mkdir()
    save_checkpoint(run / "best.pt", {"config": config, "model": network.model.state_dict()})
    return run


def export(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run_command(main_of_command, parser.parse_args([*map(str, arguments)]))


def refused(capsys, *arguments: object) -> str:
    """What it says on stderr, in one line, where it refuses."""
    capsys.readouterr()
    assert export(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_compared_and_lies_in_the_run_folder(run, capsys):
    assert export(run, "--to", "torchscript") == 0
    path = run / "model.torchscript"
    began, found = capsys.readouterr().out.splitlines()
    assert began == f"{path}: being written, then compared on 4 images"
    # of each image 1 x 64 x 80, 3 x 55 x 61 and 2 x 41 x 23
    says = rf"{path}: largest difference in probability \S+ \(at \d x \d+ x \d+ pixels\), 0.0000% of 68,284 labels "
    assert re.fullmatch(says + "change, on images of 3 shapes", found)
    assert names_in(run) == ["best.pt", "model.torchscript"]
    image = read_image(run.parent / "data/val/images/000.png")
    expected, given = (
        Predictor.load(run, device="cpu").predict(image),
        Predictor.load(path, device="cpu").predict(image),
    )
    assert np.array_equal(given, expected) and len(np.unique(given)) > 1


def test_what_differs_too_much_is_not_kept(run, capsys):
    assert export(run, "--to", "torchscript", "--max-difference", 0, "--max-changed", 0.25) == 1
    limits = "a difference of at most 0 (--max-difference) and 25.00% of the labels (--max-changed)"
    assert capsys.readouterr().err == f"{run / 'model.torchscript'}: is not kept: what passes is {limits}\n"
    assert names_in(run) == ["best.pt"]


def test_the_loss_in_8_bits_is_told(run, capsys):
    assert export(run, "--to", "onnx", "--int8", "--max-changed", 1, "-o", run.parent / "here" / "small.onnx") == 0
    path = run.parent / "here" / "small.onnx"
    *_, score = capsys.readouterr().out.splitlines()
    found = re.fullmatch(
        rf"{path}: mIoU (0\.\d{{4}}) on 4 validation images, before (0\.\d{{4}}): ([+-]0\.\d{{4}})", score
    )
    after, before, gain = map(float, found.groups())
    assert gain == pytest.approx(after - before, abs=1.1e-4) and before > 0
    assert names_in(path.parent) == ["small.onnx"]


def test_all_files_of_a_form_are_moved_and_replace_older_ones(run):
    folder = run.parent / "folder"
    folder.mkdir()
    (folder / "model-labels-fp16.xml").write_text("older")
    assert export(run, "--to", "openvino", "--labels", "--fp16", "-o", folder) == 0
    assert names_in(folder) == ["model-labels-fp16.bin", "model-labels-fp16.xml"]
    assert Predictor.load(folder / "model-labels-fp16.xml", device="cpu").networks[0].note.output == "labels"


def test_other_images_stand_in_for_a_data_set_that_is_gone(run, capsys):
    others = run.parent / "others"
    shutil.copytree(run.parent / "data/train/images", others)
    shutil.rmtree(run.parent / "data")
    assert refused(capsys, run, "--to", "torchscript").endswith("; or name images to compare with: --images FOLDER")
    assert refused(capsys, run, "--to", "onnx", "--int8", "--images", others).startswith(
        "--int8 looks at training images: "
    )
    assert export(run, "--to", "openvino", "--fp16", "--images", others) == 0
    out = capsys.readouterr().out
    assert "compared on 5 images" in out
    assert out.endswith(f"{run / 'model-fp16.xml'}: mIoU was not measured, the run's data set is not there\n")


def test_one_size(run):
    assert export(run, "--to", "torchscript", "--size", 48, 64) == 0
    network = Predictor.load(run / "model.torchscript", device="cpu").networks[0]
    assert network.input_size == (48, 64)
    assert network.probabilities(images_of(2, 48, 64)).shape == (2, 3, 48, 64)


def test_wrong_flags(run, capsys, monkeypatch):
    says = "--int8: --to torchscript has no such form; write --to onnx, openvino"
    assert refused(capsys, run, "--to", "torchscript", "--int8").startswith(says)
    assert refused(capsys, run, "--to", "onnx", "--push", "me/model") == "--push: goes with --to hub alone"
    assert refused(capsys, run, "--to", "onnx", "--size", 0, 5) == "--size 0 5: a height and a width of at least 1"
    path = run / "model.bin"
    assert refused(capsys, run, "--to", "onnx", "-o", path) == (
        f"-o {path}: a model of --to onnx ends in .onnx, by which predict.py knows it"
    )
    assert refused(capsys, run, "--to", "hub", "-o", run) == (
        f"-o {run}: is there and no model of --to hub; name a new folder"
    )
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert refused(capsys, run, "--to", "onnx") == '--to onnx needs onnxscript: pip install "segtrain[onnx]"'
    assert names_in(run) == ["best.pt"]


def test_what_cannot_be_written(run, capsys, monkeypatch):
    (run.parent / "file").touch()
    path = run.parent / "file" / "model.torchscript"
    assert refused(capsys, run, "--to", "torchscript", "-o", path) == f"{path}: cannot be written: File exists"

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    path = run / "model.torchscript"
    assert refused(capsys, run, "--to", "torchscript") == f"{path}: cannot be written: No space left on device"
    assert names_in(run) == ["best.pt"]


def test_a_run_is_left_as_it_is_where_tracing_fails(run, capsys, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("\n  no such operator\nand more\n")

    monkeypatch.setattr(torch.jit, "trace", fails)
    assert refused(capsys, run, "--to", "torchscript") == (
        "Unet with encoder tu-resnet10t cannot be exported for images of any size: no such operator; "
        "write --size H W, the size you need"
    )
    assert refused(capsys, run, "--to", "torchscript", "--size", 32, 32).endswith(
        "cannot be exported for images of one size: no such operator; write another --to, or train another encoder"
    )
    assert names_in(run) == ["best.pt"]
