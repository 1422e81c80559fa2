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

from segtrain.checkpoint import save_checkpoint
from segtrain.command import run_command
from segtrain.commands.export.command import add_arguments
from segtrain.commands.export.command import main as main_of_command
from segtrain.commands.export.forms import FORMS, default_path
from segtrain.images.reading import read_image
from segtrain.inference.predictor import Predictor
from tests.commands.export.exporting import UNET, images_of, real_network
from tests.conftest import draw_folders

DATA = {"images": {"train": "train/images", "val": "val/images"}, "masks": {"train": "train/masks", "val": "val/masks"}}


@pytest.fixture
def run(tmp_path) -> Path:
    """A folder with the best.pt of a network that has seen nothing; its dataset lies beside it."""
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
    assert began == f"{path}: writing, then comparing on 4 images"
    # of each image 1 x 64 x 80, 3 x 55 x 61 and 2 x 41 x 23
    says = rf"{path}: largest difference in probability \S+ \(at \d x \d+ x \d+ pixels\), 0.0000% of 68,284 labels "
    assert re.fullmatch(says + "change, in batches of 3 shapes", found)
    assert names_in(run) == ["best.pt", "model.torchscript"]
    image = read_image(run.parent / "data/val/images/000.png")
    expected, given = (
        Predictor.load(run, device="cpu").predict(image),
        Predictor.load(path, device="cpu", trust=True).predict(image),
    )
    assert np.array_equal(given, expected) and len(np.unique(given)) > 1


def test_what_differs_too_much_is_not_kept(run, capsys):
    def reason(*arguments: object) -> str:
        capsys.readouterr()
        assert export(run, *arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    # -1 is below any difference
    line = reason("--to", "torchscript", "--max-difference", -1, "--max-changed", 0.25)
    start = f"{re.escape(str(run / 'model.torchscript'))}: was not kept: a probability differs by "
    assert re.fullmatch(
        start + r"\S+, but at most -1 is accepted \(--max-difference\); write --size H W or another --to", line
    )
    line = reason("--to", "torchscript", "--max-changed", -1, "--size", 48, 64)
    changed = "0.0000% of the labels change, but at most -100% may (--max-changed)"
    assert line == f"{run / 'model-48x64.torchscript'}: was not kept: {changed}; write another --to"
    line = reason("--to", "torchscript", "--fp16", "--max-loss", -1)
    start = f"{re.escape(str(run / 'model-fp16.torchscript'))}: was not kept: "
    assert re.fullmatch(
        start + r"-?0\.\d{4} of mIoU is lost, but at most -1 is accepted \(--max-loss\); remove --fp16", line
    )
    assert names_in(run) == ["best.pt"]


def test_the_loss_in_8_bits_is_told(run, capsys):
    path = run.parent / "here" / "small.onnx"
    assert export(run, "--to", "onnx", "--int8", "--max-changed", 1, "--max-loss", 1, "-o", path) == 0
    *_, score = capsys.readouterr().out.splitlines()
    found = re.fullmatch(
        rf"{path}: mIoU (0\.\d{{4}}) on 4 validation images, before (0\.\d{{4}}): ([+-]0\.\d{{4}})", score
    )
    after, before, gain = map(float, found.groups())
    assert gain == pytest.approx(after - before, abs=1.1e-4) and before > 0
    assert names_in(path.parent) == ["small.onnx"]


def test_all_files_of_a_form_are_moved_and_replace_older_ones(run, capsys):
    folder = run.parent / "folder"
    folder.mkdir()
    path = folder / "model-labels-fp16.xml"
    path.write_text("<annotation/>")
    arguments = [run, "--to", "openvino", "--labels", "--fp16", "-o", folder]
    says = f"{path}: exists and was not written by segtrain; choose another file with -o"
    assert refused(capsys, *arguments) == says and path.read_text() == "<annotation/>"
    path.write_text('<segtrain value="{&quot;format&quot;:1,&quot;task&quot;:{&quot;mode&quot;:&quot;binary')
    assert export(*arguments) == 0
    assert names_in(folder) == ["model-labels-fp16.bin", "model-labels-fp16.xml"]
    assert Predictor.load(path, device="cpu").networks[0].note.output == "labels"


@pytest.mark.parametrize(
    ("checkpoint", "target", "flags", "name"),
    [
        ("", "onnx", [], "model.onnx"),
        ("best.pt", "onnx", [], "model.onnx"),
        ("last.pt", "onnx", [], "model-last.onnx"),
        ("last.pt", "openvino", ["--labels", "--fp16", "--size", "32", "48"], "model-last-labels-32x48-fp16.xml"),
        ("last.pt", "hub", [], "hub-last"),
        ("", "savedmodel", ["--size", "32", "48"], "savedmodel-32x48"),
    ],
)
def test_names_tell_forms_apart(run, checkpoint, target, flags, name):
    (run / "last.pt").touch()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args([str(run / checkpoint), "--to", target, *flags])
    assert default_path(options, FORMS[target]) == run / name


def test_a_clone_of_a_model_is_brought_up_to_date(run, capsys):
    """In a folder of an earlier export only what segtrain wrote is replaced, and no card that was edited."""
    folder = run / "hub"
    assert export(run, "--to", "hub") == 0
    (folder / ".git").mkdir()
    for name in (".git/HEAD", ".gitattributes", "model.safetensors"):
        (folder / name).write_text("mine")
    card = (folder / "README.md").read_text()
    capsys.readouterr()
    assert export(run, "--to", "hub", "--license", "mit") == 0
    assert "edited" not in capsys.readouterr().out
    assert (folder / ".git/HEAD").read_text() == (folder / ".gitattributes").read_text() == "mine"
    assert Predictor.load(folder, device="cpu").task == Predictor.load(run, device="cpu").task
    assert "license: mit" not in card and "license: mit" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("my words")
    for _ in range(2):  # it is not taken for ours the second time
        assert export(run, "--to", "hub") == 0
        line = f"{folder / 'README.md'}: was edited and is kept; delete it to have it written again"
        assert capsys.readouterr().out.splitlines()[-1] == line
        assert (folder / "README.md").read_text() == "my words"
    (folder / "README.md").unlink()
    assert export(run, "--to", "hub") == 0 and (folder / "README.md").read_text() == card
    (folder / "segtrain.json").unlink()
    says = f"{folder}: is a folder with other files; choose a new one with -o"
    assert refused(capsys, run, "--to", "hub") == says


def test_other_images_stand_in_for_a_data_set_that_is_gone(run, capsys):
    others = run.parent / "others"
    shutil.copytree(run.parent / "data/train/images", others)
    shutil.rmtree(run.parent / "data")
    assert refused(capsys, run, "--to", "torchscript").endswith("; or give images for the comparison: --images FOLDER")
    assert refused(capsys, run, "--to", "onnx", "--int8", "--images", others).startswith(
        "--int8 needs training images: "
    )
    assert export(run, "--to", "openvino", "--fp16", "--images", others) == 0
    out = capsys.readouterr().out
    assert "comparing on 5 images" in out
    assert out.endswith(f"{run / 'model-fp16.xml'}: mIoU was not measured, because the run's dataset was not found\n")


def test_one_size(run):
    assert export(run, "--to", "torchscript", "--size", 48, 64) == 0
    network = Predictor.load(run / "model-48x64.torchscript", device="cpu", trust=True).networks[0]
    assert network.input_size == (48, 64)
    assert network.probabilities(images_of(2, 48, 64)).shape == (2, 3, 48, 64)


def test_wrong_flags(run, capsys, monkeypatch):
    says = "--int8: --to torchscript does not support it; write --to onnx, openvino"
    assert refused(capsys, run, "--to", "torchscript", "--int8").startswith(says)
    assert refused(capsys, run, "--to", "onnx", "--push", "me/model") == "--push: needs --to hub"
    assert refused(capsys, run, "--to", "onnx", "--license", "mit") == "--license: needs --to hub or --to space"
    assert refused(capsys, run, "--to", "onnx", "--size", 0, 5) == "--size 0 5: height and width must be at least 1"
    path = run / "model.bin"
    assert refused(capsys, run, "--to", "onnx", "-o", path) == (
        f"-o {path}: a model of --to onnx must end in .onnx, by which predict.py recognizes it"
    )
    assert refused(capsys, run, "--to", "hub", "-o", run) == (
        f"{run}: is a folder with other files; choose a new one with -o"
    )
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert refused(capsys, run, "--to", "onnx") == (
        '--to onnx needs onnxscript; in the segtrain folder, run: pip install -e ".[onnx]"'
    )
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
        "Unet tu-resnet10t cannot be exported for images of any size: no such operator; "
        "write --size H W, the size you need"
    )
    assert refused(capsys, run, "--to", "torchscript", "--size", 32, 32).endswith(
        "cannot be exported for images of one size: no such operator; write another --to or train another encoder"
    )
    assert names_in(run) == ["best.pt"]
