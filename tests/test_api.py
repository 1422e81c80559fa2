"""import segtrain: the results of the commands, and a process that is afterwards what it was."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import segtrain
from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.command import StopSignal, run_command
from segtrain.commands.evaluate import command as evaluate_command
from segtrain.commands.predict import command as predict_command
from segtrain.errors import CheckpointError, ConfigError, DataError, TrainingError
from segtrain.inference.options import FLAGS
from segtrain.log.record import RunRecord
from tests.conftest import PROJECT, SMALL

SPEED = ["images_per_second", "image_ms_median", "image_ms_p90"]


@pytest.fixture
def layers(trained, tmp_path, monkeypatch) -> list[str]:
    """Those of the run `trained`, but for the folder of the run."""
    monkeypatch.chdir(PROJECT)
    return [*SMALL, "train.epochs=1", f"data.root={trained.parent.parent / 'street'}", f"runs_dir={tmp_path / 'runs'}"]


def weights_of(run: Path | RunRecord) -> dict[str, torch.Tensor]:
    return load_checkpoint(Path(run) / "best.pt")["model"]


def assert_same_weights(run, other) -> None:
    weights, others = weights_of(run), weights_of(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def command(module, *arguments: object) -> int:
    """A command in this process: its exit status."""
    parser = ArgumentParser()
    module.add_arguments(parser)
    return run_command(module.main, parser.parse_intermixed_args(list(map(str, arguments))))


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = "import segtrain, sys; print(sorted(m for m in sys.modules if 'segtrain' in m or m in ('torch', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(dir(segtrain))"], cwd=PROJECT, capture_output=True)
    modules, names = done.stdout.decode().splitlines()
    assert modules == "['segtrain']"
    assert names == str(sorted([*segtrain.__all__, "__version__"]))


def test_all_names_are_there() -> None:
    assert all(getattr(segtrain, name).__doc__ for name in segtrain.__all__)
    with pytest.raises(AttributeError, match="module 'segtrain' has no attribute 'predict'"):
        _ = segtrain.predict


def test_trainings_of_one_process_give_the_weights_of_the_command(trained, layers) -> None:
    """In a thread, in another at the same time, and inside an event loop; with layers of every kind."""

    async def train() -> RunRecord:
        return segtrain.train(*layers, "data.workers=2")

    values = [layer for layer in layers if not layer.startswith("train.epochs")]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(segtrain.train, *layers)
        second = threads.submit(segtrain.train, {"train": {"epochs": np.int64(1)}}, *values, PROJECT / "config.yml")
        runs = [first.result(), second.result(), asyncio.run(train())]
    assert len({run.folder for run in runs}) == 3
    for run in runs:
        assert_same_weights(run, trained)
        assert run.state == "finished" and len(run.table) == 1
        assert run.score == run.best["val/miou"] == run.table["val/miou"][0]
        assert repr(run) == f"<{run.folder}: finished, val/miou {run.score:.4f} in epoch 1>"


def test_a_training_leaves_the_process_as_it_was(layers, monkeypatch) -> None:
    def state() -> list:
        torch_state = torch.get_rng_state().numpy().tobytes()
        signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        return [random.getstate(), str(np.random.get_state()), torch_state, cv2.getNumThreads(), *signals]

    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    before, environment, written = state(), dict(os.environ), sys.stdout.write
    segtrain.train(*layers)
    assert state() == before and sys.stdout.write == written
    with pytest.raises(TrainingError):
        segtrain.train(*layers, "optimizer.lr=1e30", "train.precision=fp32", "data.batch_size=2", "data.workers=2")
    assert state() == before
    run = segtrain.train(*layers, "log.wandb.mode=offline")
    assert list((run.folder / "wandb").glob("offline-run-*"))
    ours = {name: value for name, value in os.environ.items() if name not in environment}
    assert not {name for name in ours if name != "WANDB_SERVICE"}, ours


def test_what_is_wrong_is_raised(layers, tmp_path, monkeypatch) -> None:
    for wrong, text in [
        ("optimiser=1", "command line: optimiser=1: optimiser: unknown key; did you mean 'optimizer'?"),
        ({"optimiser": 1}, f"argument {len(layers) + 1}: optimiser: unknown key; did you mean 'optimizer'?"),
        (
            {"train": {"epochs": print}},
            f"argument {len(layers) + 1}: <built-in function print> is not a number, a string, a list or",
        ),
        (5, "expected a path, a string like 'train.epochs=5' or a dict, not 5"),
        (Path("nowhere.yml"), "nowhere.yml: cannot be read: No such file or directory"),
    ]:
        with pytest.raises(segtrain.SegtrainError) as error:
            segtrain.train(*layers, wrong)
        assert str(error.value).startswith(text)
        assert error.value._render_traceback_() == [f"ConfigError: {error.value}"]  # what a notebook shows
    with pytest.raises(ConfigError, match="is not a run folder; it has no config"):
        segtrain.train(resume=tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"config.yml: is not in this folder \(.*\); give an experiment file"):
        segtrain.train()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="train runs in one process; for several, use torchrun"):
        segtrain.train(*layers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_a_resumed_training_ends_the_same(trained, layers, monkeypatch, capsys, number) -> None:
    write = sys.stdout.write

    def interrupt(text: str) -> int:
        if text.startswith("train "):  # the line before the first step
            os.kill(os.getpid(), number)
        return write(text)

    monkeypatch.setattr(sys.stdout, "write", interrupt)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises((KeyboardInterrupt, SystemExit)) as stopped:
        segtrain.train(*layers)
    monkeypatch.undo()
    monkeypatch.chdir(PROJECT)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    (folder,) = Path(layers[-1].removeprefix("runs_dir=")).glob("street-*")
    if number == signal.SIGINT:
        text = f"stopped and saved; resume with: python train.py --resume {folder}, or segtrain.train(resume=..)"
        assert stopped.value._render_traceback_() == [f"KeyboardInterrupt: {text}"]
    else:
        assert stopped.value.code == 143
    record = segtrain.read_record(str(folder))
    assert record.state == "stopped" and np.isnan(record.score) and repr(record) == f"<{folder}: stopped>"
    run = segtrain.train(resume=record)
    assert run.folder == folder and run.state == "finished"
    assert_same_weights(run, trained)


def save_pictures(folder: Path) -> list[Path]:
    """The same noise as files of many kinds."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    picture, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "rgb.png")
    picture.save(folder / "turned.jpg", exif=turned)
    picture.quantize(64).save(folder / "palette.png")
    picture.convert("L").save(folder / "gray.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    np.save(folder / "array.npy", pixels)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("options", [{}, {"tile": 32, "overlap": 0.5, "flip": True, "scales": [0.5, 1]}])
def test_predictions_are_those_of_the_command(trained, tmp_path, options) -> None:
    files = save_pictures(tmp_path / "pictures")
    flags = [
        f"--{key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in options.items() if key != "flip"
    ]
    flags += ["--flip"] if options else []
    predictor = segtrain.load(trained, **options)
    for file in files:  # each alone: the command puts images of one size into one batch
        out = tmp_path / file.stem
        assert command(predict_command, trained, file, "-o", out, "--save", "index,color,npz", *flags) == 0
        prediction = predictor.predict(file)
        assert prediction.mask.dtype == np.uint8
        assert np.array_equal(prediction.mask, np.asarray(Image.open(out / f"{file.stem}.png")))
        colors = Image.open(out / f"{file.stem}_color.png").convert("RGB")
        assert np.array_equal(colors, np.array(prediction.task.colors, np.uint8)[prediction.mask])
        with np.load(out / f"{file.stem}.npz") as packed:
            assert np.array_equal(packed["probabilities"], prediction.probabilities.astype(np.float16))
            assert packed["names"].tolist() == prediction.names == predictor.names
        if file.suffix != ".npy":
            with Image.open(file) as picture:  # not turned yet, in its own mode
                assert np.array_equal(predictor.predict(picture).mask, prediction.mask)
    pixels = np.load(tmp_path / "pictures" / "array.npy")
    assert np.array_equal(predictor.predict(pixels).mask, predictor.predict(str(tmp_path / "pictures/rgb.png")).mask)


def test_predictions_of_16_bits(kept, tmp_path) -> None:
    content = load_checkpoint(kept / "best.pt")
    content["config"]["data"]["scale"] = 65535.0
    save_checkpoint(kept / "best.pt", content)
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 70), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert command(predict_command, kept, tmp_path / "deep.png", "-o", tmp_path / "out", "--save", "index") == 0
    expected = np.asarray(Image.open(tmp_path / "out/deep.png"))
    predictor = segtrain.load(kept)
    with Image.open(tmp_path / "deep.png") as picture:
        for image in (tmp_path / "deep.png", pixels, picture):
            assert np.array_equal(predictor.predict(image).mask, expected)


def test_a_prediction_shows_itself(trained) -> None:
    image = np.full((40, 60, 3), 90, np.uint8)
    prediction = segtrain.load(trained).predict(image)
    counts = np.bincount(prediction.mask.ravel(), minlength=7)
    assert prediction.shares.tolist() == (counts / 2400).tolist()
    assert prediction.overlay.shape == (40, 60, 3) and prediction.probabilities.shape == (7, 40, 60)
    colors = np.array(prediction.task.colors)[prediction.mask]
    assert np.abs(prediction.overlay - (0.4 * image + 0.6 * colors)).max() <= 0.5  # rounded
    assert prediction._repr_png_().startswith(b"\x89PNG")
    first = prediction.names[int(np.flatnonzero(counts)[0])]
    assert repr(prediction).startswith(f"<prediction of 60 x 40 pixels: {first} {counts[counts > 0][0] / 2400:.1%}")


def test_images_that_a_model_does_not_take(trained, tmp_path) -> None:
    predictor = segtrain.load(trained, device="cpu")
    (tmp_path / "cut.png").write_bytes(next((trained.parent.parent / "street/val/images").iterdir()).read_bytes()[:900])
    cut = Image.open(tmp_path / "cut.png")
    for image, text in [
        (np.zeros((8, 8, 3)), "the image: has float64 values from 0 to 0; write data.scale: 1, "),
        (np.zeros((3, 8, 9), np.uint8), "the image: has 9 channels, but data.channels is 3"),
        ("missing.png", "missing.png: does not exist"),
        (tmp_path, "is not an image"),
        (None, "the image: expected an image of HWC numbers, not object of shape"),
        (cut, "the image: cannot be read: "),
    ]:
        with pytest.raises(DataError, match="cannot be read" if image is tmp_path else text):
            predictor.predict(image)
    cut.close()
    assert repr(predictor) == "<predictor of a model on cpu: sky, road, building, tree, pole, car, person>"


def test_several_models_are_an_ensemble(trained) -> None:
    predictor = segtrain.load(trained, trained / "best.pt", weights=(1, 3))
    assert predictor.predictor.weights == [0.25, 0.75]
    assert repr(predictor).startswith("<predictor of 2 models as one on cpu: sky, ")


def test_options_are_the_flags(trained) -> None:
    assert all(f"{flag[2:].replace('-', '_')}=" in segtrain.load.__doc__ for _, flag, *_ in FLAGS)
    for options, text in [
        ({"tyle": 512}, "segtrain.load: unrecognized arguments: --tyle=512; help(segtrain.load) lists the options"),
        ({"tile": 8}, "--tile 8: a tile needs at least 16 pixels"),
        ({"tile": "big"}, "segtrain.load: argument --tile: invalid int value: 'big'; help"),
        ({"flip": "d4"}, "segtrain.load: argument --flip: ignored explicit argument 'd4'; help"),
        ({"precision": "fp8"}, "segtrain.load: argument --precision: invalid choice: 'fp8'"),
        ({"device": "nope"}, "device 'nope' cannot be used"),
    ]:
        with pytest.raises(ConfigError) as error:
            segtrain.load(trained, **options)
        assert str(error.value).startswith(text)
    with pytest.raises(ConfigError, match="give a model"):
        segtrain.load()
    with pytest.raises(ConfigError, match=r"expected a run or a path, not \['runs/x'\]"):
        segtrain.load(["runs/x"])
    with pytest.raises(CheckpointError, match="nowhere: does not exist"):
        segtrain.load("nowhere")


def test_an_evaluation_has_the_numbers_of_the_command(trained, tmp_path, capsys) -> None:
    run = segtrain.read_record(trained)
    evaluation = segtrain.evaluate(run, output=tmp_path / "python", split="val", flip=True)
    printed = capsys.readouterr().out
    assert command(evaluate_command, trained, "-o", tmp_path / "command", "--flip") == 0
    written = pandas.read_csv(tmp_path / "command/evaluation.csv").set_index("name")
    pandas.testing.assert_frame_equal(evaluation.table.drop(SPEED), written.drop(SPEED), check_exact=True)
    images = pandas.read_csv(tmp_path / "command/images.csv", dtype={"name": str})
    pandas.testing.assert_frame_equal(evaluation.images, images.set_index("name"), check_exact=True)
    assert evaluation.folder == tmp_path / "python" and evaluation.images.index[0] in {"000", "001", "002", "003"}
    assert f"mean      {evaluation.scores['miou']:.4f}" in printed
    assert repr(evaluation) == f"<{tmp_path / 'python'}: miou {evaluation.scores['miou']:.4f} on 4 images>"
    plain = segtrain.evaluate(run, "data.workers=0")
    assert plain.folder == trained / "evaluation-val-1" and plain.scores["miou"] == pytest.approx(run.score, abs=1e-12)
    with pytest.raises(DataError, match="--split holdout: missing or empty"):
        segtrain.evaluate(run, split="holdout")


def test_findings_are_those_of_check(layers, tmp_path) -> None:
    root = shutil.copytree(layers[-2].removeprefix("data.root="), tmp_path / "street")
    (root / "train/images/000.png").write_bytes(b"")
    findings = segtrain.check(*SMALL, {"data": {"root": root}})
    assert findings.columns.tolist() == ["level", "title", "explanation", "fix", "files"]
    broken = findings.iloc[0]
    assert broken["level"] == "error" and broken["fix"] == "--apply set-aside-unreadable"
    assert broken["files"] == [
        f"{root}/train/images/000.png: is not an image of a supported type; is the file complete?"
    ]


def test_a_second_interrupt_of_a_notebook_leaves_it_alive(monkeypatch) -> None:
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    stop = StopSignal()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
    finally:
        stop.release()
