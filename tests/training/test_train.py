"""train.py as a command: what it leaves, and that a run that was stopped ends as one that was not."""

import json
import random
import re
import shutil
import signal
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest
import timm
import torch
import yaml

from segtrain.checkpoint import load_checkpoint
from segtrain.command import run_command
from segtrain.config.rules import load_config
from segtrain.inference.load import load_network
from segtrain.training import command as train
from segtrain.training import overfit
from tests.conftest import PROJECT, SMALL, draw_folders, run
from tests.log.wandb_records import find_runs, read_history, read_records

TIMING = ["images_per_second", "data_wait", "train_seconds", "val_seconds"]
CLASSES = ["sky", "road", "building", "tree", "pole", "car", "person"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> SimpleNamespace:
    """A run of two epochs, trained by a process."""
    root = tmp_path_factory.mktemp("finished")
    layers = [*SMALL, f"data.root={draw_folders(root / 'street')}", f"runs_dir={root / 'runs'}"]
    done = run("train.py", *layers)
    return SimpleNamespace(done=done, layers=layers, folder=root / "runs" / "street-1", runs=root / "runs")


@pytest.fixture
def main(monkeypatch) -> Callable[..., int]:
    """The command in this process: its exit status."""
    monkeypatch.chdir(PROJECT)

    def main(*layers: str, resume: Path | None = None, check: bool = False, overfit: int | None = None) -> int:
        options = Namespace(
            layers=list(layers), resume=resume and str(resume), check=check, overfit=overfit, run_folder=None
        )
        return run_command(train.main, options)

    return main


def test_a_run_ends_with_its_table_and_all_its_files(finished):
    assert (finished.done.returncode, finished.done.stderr) == (0, "")
    lines = finished.done.stdout.splitlines()
    assert lines[0] == f"run      {finished.folder}"
    assert lines[1] == "data     8 training and 4 validation images"
    assert lines[-1] == (
        f"{finished.folder}: best.pt, config.yml, confusion.png, curves.png, environment.txt, last.pt, metrics.csv, "
        "predictions, summary.json"
    )
    assert {path.suffix for path in (finished.folder / "predictions").iterdir()} == {".png"}
    assert len(list((finished.folder / "predictions").iterdir())) == 2
    for name in CLASSES:
        assert any(line.split()[:1] == [name] for line in lines), name


def test_metrics_have_one_row_per_epoch(finished):
    table = pandas.read_csv(finished.folder / "metrics.csv")
    assert (table["epoch"].tolist(), table["step"].tolist()) == ([1, 2], [2, 4])
    means = ["miou", "mdice", "pixel_accuracy", "mean_class_accuracy", "fwiou", "mprecision", "mrecall"]
    expected = ["epoch", "step", "train/loss", "train/loss/CrossEntropyLoss", "train/loss/DiceLoss", "lr", "val/loss"]
    expected += TIMING + [f"val/{name}" for name in means]
    expected += [f"val/{kind}/{name}" for kind in ("iou", "dice", "precision", "recall") for name in CLASSES]
    assert sorted(table.columns) == sorted(expected)
    assert table["data_wait"].between(0, 1).all()


def test_the_run_tells_where_it_came_from(finished):
    words = dict(line.split(": ", 1) for line in (finished.folder / "environment.txt").read_text().splitlines() if line)
    assert list(words)[:5] == ["command", "time", "commit", "machine", "python"]
    assert "train.py" in words["command"] and "train.epochs=2" in words["command"]
    assert words["torch"] == version("torch")
    assert {"torchvision", "segmentation-models-pytorch", "timm", "albumentations", "numpy", "wandb"} < words.keys()


def test_the_checkpoints_hold_plain_values(finished):
    best, last = load_checkpoint(finished.folder / "best.pt"), load_checkpoint(finished.folder / "last.pt")
    assert (best["kind"], best["classes"], best["monitor"]) == ("best", CLASSES, "miou")
    assert (best["colors"][0], best["score"]) == ([135, 190, 235], best["metrics"]["val/miou"])
    assert not {"optimizer", "rng", "schedule"} & best.keys()
    assert last["position"] == {"epoch": 2, "step": 0, "total_steps": 4} and last["kind"] == "last"
    assert yaml.safe_load((finished.folder / "config.yml").read_text()) == last["config"] == best["config"]


def test_the_config_of_a_run_is_that_of_its_command(finished, monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert load_config([], resume=str(finished.folder)) == load_config(finished.layers)


def test_a_second_run_has_a_folder_of_its_own(finished, main):
    before = (finished.folder / "metrics.csv").read_bytes()
    assert main(*finished.layers, "train.epochs=1") == 0
    assert sorted(path.name for path in finished.runs.iterdir() if path.name[0] != ".") == ["street-1", "street-2"]
    assert (finished.folder / "metrics.csv").read_bytes() == before


def test_a_finished_run_says_so_when_resumed(finished, main, capsys):
    names = ("last.pt", "best.pt", "metrics.csv", "config.yml")
    saved = {name: (finished.folder / name).read_bytes() for name in names}
    assert main(resume=finished.folder) == 0
    out = capsys.readouterr().out.splitlines()
    assert "nothing is left to train: 2 epochs are complete; to continue, raise train.epochs" in out
    assert any(line.startswith("best epoch ") for line in out)
    assert {name: (finished.folder / name).read_bytes() for name in saved} == saved


@pytest.mark.parametrize(("value", "told"), [(0, False), (2, True)])
def test_values_that_change_classes_are_told_when_resumed(finished, main, capsys, tmp_path, value, told):
    run = shutil.copytree(finished.folder, tmp_path / "street-1")
    classes = [{"name": name, "value": index, "color": [index, 9, 9]} for index, name in enumerate(CLASSES)]
    classes[0]["value"], classes[value]["value"] = value, 0
    assert main(f"data.classes={json.dumps(classes)}", resume=run) == 0
    text = "warning: data.classes and data.ignore_values read the masks differently than before in this run"
    assert (text in capsys.readouterr().out) == told


def test_what_cannot_be_resumed(finished, main, capsys, tmp_path):
    assert main(resume=tmp_path / "nowhere") == 2
    (tmp_path / "empty").mkdir()
    assert main(resume=tmp_path / "empty") == 2
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "config.yml").write_bytes((finished.folder / "config.yml").read_bytes())
    assert main(resume=tmp_path / "early") == 2
    assert main("model.decoder_channels=[8, 8, 8, 8, 8]", resume=finished.folder) == 2
    nowhere, empty, early, other = capsys.readouterr().err.splitlines()
    assert nowhere == f"{tmp_path / 'nowhere'}: is not a run folder; it has no config.yml"
    assert empty == f"{tmp_path / 'empty'}: is not a run folder; it has no config.yml"
    assert early == f"{tmp_path / 'early'}: has no last.pt; the run has not saved one yet"
    assert other.startswith("last.pt does not match this configuration: ")
    assert load_config([], resume=str(finished.folder)).model.arguments["decoder_channels"] == [16, 16, 8, 8, 8]


def test_a_run_keeps_where_its_weights_are_from_and_resumes_without_them(finished, main, capsys, tmp_path):
    path = tmp_path / "encoder.pth"
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    torch.save(state, path)
    layers = [*finished.layers, f"runs_dir={tmp_path}", f"model.encoder_weights={path}", "train.epochs=1"]
    assert main(*layers) == 0
    origin = f"240 tensors of {path}; 4 not used: conv_head.weight, conv_head.bias, classifier.weight and 1 more"
    assert f"\nstart    {origin}\n" in capsys.readouterr().out
    path.unlink()
    run_folder = tmp_path / "street-1"
    assert main("train.epochs=2", "optimizer.lr=5e-4", resume=run_folder) == 0
    out = capsys.readouterr().out
    assert f"\nstart    {origin}\n" in out
    assert "changed  optimizer.lr: 0.003 -> 0.0005; train.epochs: 1 -> 2\n" in out
    assert f"\nweights: {origin}\n" in (run_folder / "environment.txt").read_text()
    assert load_checkpoint(run_folder / "best.pt")["origin"] == origin


def test_a_few_images_are_learned_by_heart(finished, main, capsys, monkeypatch, tmp_path):
    layers = [*finished.layers, f"runs_dir={tmp_path}", "optimizer.lr=2e-2", "train.ema_decay=0.9"]
    assert main(*layers, overfit=3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "data     60 training and 3 validation images"
    assert lines[6] == "overfit  20 x 3 images in an epoch, until mIoU is 0.95"
    assert re.fullmatch(r"overfit: mIoU 0\.9[5-9]\d\d on 3 images, the network can learn the data", lines[-1])
    table = pandas.read_csv(tmp_path / "street-overfit-1" / "metrics.csv")
    assert table["lr"].nunique() == 1 and len(table) < overfit.MOST_EPOCHS and table["val/miou"].iloc[-1] >= 0.95

    monkeypatch.setattr(overfit, "MOST_EPOCHS", 1)
    assert main(*layers, "optimizer.lr=1e-30", overfit=1) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert "on 1 image, not memorized, which takes 0.95; look at " in line


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "--overfit N: needs at least one image"), (99, "--overfit 99: there are only 8 training images")],
)
def test_a_wrong_number_of_images_to_overfit(finished, main, capsys, count, text):
    assert main(*finished.layers, overfit=count) == 2
    assert capsys.readouterr().err.startswith(text)


def test_check_reads_no_data(tmp_path):
    layers = [*SMALL, f"data.root={tmp_path / 'nowhere'}", f"runs_dir={tmp_path / 'runs'}"]
    done = run("train.py", "--check", *layers)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: street: Unet tu-mobilenetv3_small_050, ")
    assert not (tmp_path / "runs").exists()


def test_help_names_the_ways_to_call(capsys):
    done = run("train.py", "--help")
    assert done.returncode == 0
    for word in ("--resume RUN", "--check", "python train.py experiments/x.yml train.epochs=5"):
        assert word in done.stdout, word


def test_the_script_reads_in_one_screen():
    assert len((PROJECT / "train.py").read_text().splitlines()) < 70


# A loss that adds nothing, and at one forward pass of this process ends it: STOP is "train 3 15", the third pass of a
# training batch and SIGTERM; "val 4 2" interrupts an evaluation (the first pass of this kind is the trial of the loss).
# SIGINT goes to the whole group, as Ctrl-C does.
STOP_LOSS = """
import os, signal, time
import torch

os.setpgid(0, 0)

class StopLoss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.passes = {"train": 0, "val": 0}

    def forward(self, logits, mask):
        kind = "train" if logits.requires_grad else "val"
        self.passes[kind] += 1 if kind == "val" else 0.5  # the auxiliary output comes here too
        if os.environ["STOP"].startswith(f"{kind} {self.passes[kind]:g} "):
            number = int(os.environ["STOP"].split()[2])
            time.sleep(2 if number == signal.SIGKILL else 0)  # wandb's own process writes its file twice a second
            os.killpg(0, number) if number == signal.SIGINT else os.kill(os.getpid(), number)
        return logits.sum() * 0
"""

# Six batches and three updates an epoch, 24 batches in all; dropout, a moving average, an auxiliary output and reading
# processes.
INTERRUPTED = [
    *SMALL,
    "model.name=FPN",
    "model.decoder_channels=null",
    "model.decoder_dropout=0.3",
    "model.aux=0.4",
    "loss={CrossEntropyLoss: 1.0, stop_loss.StopLoss: 1.0}",
    "data.batch_size=2",
    "data.workers=2",
    "train.epochs=4",
    "train.accumulate_steps=2",
    "train.ema_decay=0.9",
    "train.freeze_encoder_epochs=1",
    "schedule.warmup=7",
    "optimizer.layer_decay=0.8",
    "log.every_steps=1",
    "log.wandb.mode=offline",
]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> SimpleNamespace:
    """One run that nothing stops, and one of the same seed that is stopped three times."""
    root = tmp_path_factory.mktemp("interrupted")
    (root / "stop_loss.py").write_text(STOP_LOSS)
    (root / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    draw_folders(root / "street", train=12, val=4)
    killed_at = random.randint(1, 11)  # of the twelve batches that are left

    def start(*arguments: object, stop: str = "never") -> SimpleNamespace:
        return run("train.py", *arguments, cwd=root, STOP=stop, WANDB_MODE="offline")

    def stop_three_times() -> list[SimpleNamespace]:
        resume, layers = ["--resume", "again/street-1"], [*INTERRUPTED, "data.root=street", "runs_dir=again"]
        stops = [f"train 3 {signal.SIGTERM:d}", f"val 4 {signal.SIGINT:d}", f"train {killed_at} {signal.SIGKILL:d}", ""]
        parts, positions = [], []
        for place, stop in enumerate(stops):
            parts.append(start(*(resume if place else layers), stop=stop or "never"))
            last = root / "again" / "street-1" / "last.pt"
            positions.append(load_checkpoint(last)["position"] if last.exists() else None)
        return [*zip(parts, positions, strict=True)]

    with ThreadPoolExecutor() as pool:
        parts = pool.submit(stop_three_times)
        whole = pool.submit(start, *INTERRUPTED, "data.root=street", "runs_dir=once")
        whole, parts = whole.result(), parts.result()
    folders = {"whole": root / "once" / "street-1", "stopped": root / "again" / "street-1"}
    return SimpleNamespace(done=whole, parts=parts, killed_at=killed_at, **folders)


def test_signals_save_and_set_the_exit_status(interrupted):
    assert (interrupted.done.returncode, interrupted.done.stderr) == (0, "")
    (terminated, first), (aborted, second), (killed, third), (ended, last) = interrupted.parts
    line = "stopped and saved; resume with: python train.py --resume again/street-1\n"
    assert (terminated.returncode, terminated.stderr) == (143, line)
    assert first == {"epoch": 0, "step": 4, "total_steps": 4}  # in batch 3 of an update of two
    assert (aborted.returncode, aborted.stderr) == (130, line)
    assert second == {"epoch": 1, "step": 6, "total_steps": 12}  # trained, not yet evaluated
    assert killed.returncode == -signal.SIGKILL
    # The sixth batch after the resumption ends epoch 3, and with it comes the next checkpoint.
    epochs = 2 if interrupted.killed_at <= 6 else 3
    assert third == {"epoch": epochs, "step": 0, "total_steps": 6 * epochs}
    assert (ended.returncode, ended.stderr, last) == (0, "", {"epoch": 4, "step": 0, "total_steps": 24})
    assert "resume   after 1 epoch and 6 steps" in killed.stdout


def assert_same(first: object, second: object, where: str) -> None:
    """Equal to the bit, in nested dictionaries and lists of tensors and plain values."""
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}.{place}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second or (first != first and second != second), f"{where}: {first} {second}"


def test_a_stopped_run_ends_with_the_same_bits(interrupted):
    for name in ("last.pt", "best.pt"):
        whole, stopped = (load_checkpoint(folder / name) for folder in (interrupted.whole, interrupted.stopped))
        for key in whole.keys() - {"config", "wandb_id", "wandb_step", "seconds"}:
            assert_same(whole[key], stopped[key], f"{name} {key}, killed at {interrupted.killed_at}")


def test_last_alone_keeps_the_auxiliary_output(interrupted):
    best, last = (load_checkpoint(interrupted.whole / name) for name in ("best.pt", "last.pt"))
    kept = {key for key in last["model"] if key.startswith("aux.head.")}
    assert len(kept) == 8 and kept <= last["ema"].keys()  # two convolutions and a norm
    assert best["model"].keys() == last["model"].keys() - kept
    image = torch.randint(0, 256, (1, 3, 40, 56), dtype=torch.uint8)
    logits = [load_network(interrupted.whole / name, device="cpu").logits(image) for name in ("best.pt", "last.pt")]
    assert (best["epoch"] == 4) == torch.equal(*logits)


def test_a_stopped_run_has_the_same_metrics(interrupted):
    whole, stopped = (pandas.read_csv(folder / "metrics.csv") for folder in (interrupted.whole, interrupted.stopped))
    assert whole.columns.tolist() == stopped.columns.tolist() and len(whole) == 4
    pandas.testing.assert_frame_equal(whole.drop(columns=TIMING), stopped.drop(columns=TIMING), check_exact=True)


def test_wandb_keeps_the_console(interrupted):
    (whole,) = find_runs(interrupted.whole)
    console = "".join(record.output_raw.line for record in read_records(whole) if record.HasField("output_raw"))
    assert "\nepoch 1/4  train loss " in console and "\nbest epoch " in console


def test_a_stopped_run_tells_wandb_every_step_once(interrupted):
    parts = find_runs(interrupted.stopped)
    assert len(parts) == 4
    ids = {record.run.run_id for part in parts for record in read_records(part) if record.HasField("run")}
    assert ids == {load_checkpoint(interrupted.stopped / "last.pt")["wandb_id"]}
    codes = [[record.exit.exit_code for record in read_records(part) if record.HasField("exit")] for part in parts]
    assert (codes[0], codes[1], codes[3]) == ([143], [130], [0])  # the third was killed
    (whole,) = find_runs(interrupted.whole)
    rows, expected = [row for part in parts for row in read_history(part)], read_history(whole)

    losses, expected_losses = ([row["train/loss"] for row in some if "train/loss" in row] for some in (rows, expected))
    assert losses == expected_losses and len(losses) == 24
    names = ("epoch", "val/miou", "val/loss", "epoch/train/loss", "val/iou/car")
    scores = [[row[name] for name in names] for row in rows if "epoch" in row]
    assert scores == [[row[name] for name in names] for row in expected if "epoch" in row]
    assert [row[0] for row in scores] == [1, 2, 3, 4]
    # wandb drops a row whose step is not past the last one. Epoch 2 was trained and told before it was evaluated, so
    # that its scores have a row, and a step, of their own.
    assert [row["step"] for row in expected] == list(range(1, 25))
    assert [row["step"] for row in rows] == list(range(1, 26)), f"killed at {interrupted.killed_at}"
