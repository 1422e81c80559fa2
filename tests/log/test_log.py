"""Console, metrics.csv and TensorBoard. What goes to Weights & Biases is in test_log_wandb.py."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segtrain.errors import CheckpointError
from segtrain.log.log import Log, MetricsFile, describe_epoch, seconds_left
from tests.conftest import PROJECT


def build_log(
    folder: Path,
    *,
    progress: bool = True,
    tensorboard: bool = False,
    wandb_mode: str = "disabled",
    resume_epoch: int | None = None,
    resume_seconds: float = 0.0,
) -> Log:
    wandb = SimpleNamespace(mode=wandb_mode, artifacts=[])
    config = SimpleNamespace(progress=progress, images=1, tensorboard=tensorboard, every_steps=1, wandb=wandb)
    limits = {"epochs": 30, "max_steps": None, "max_hours": None, "accumulate_steps": 1}
    arguments = {"run_name": "toy-1", "resolved_config": {"train": limits}, "class_names": ["sky", "road"]}
    return Log(folder, config, **arguments, resume_epoch=resume_epoch, resume_seconds=resume_seconds)


def test_metrics_csv_takes_columns_that_come_later(tmp_path):
    log = build_log(tmp_path)
    log.epoch(1, 10, {"train/loss": 0.5, "lr": 0.001})
    log.epoch(2, 20, {"train/loss": 0.25, "lr": 0.001, "val/miou": 0.75})
    log.epoch(3, 30, {"train/loss": 0.125, "train/loss/LovaszLoss": float("nan"), "lr": 0.0005})
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,step,train/loss,lr,val/miou,train/loss/LovaszLoss\n"
        "1,10,0.5,0.001,,\n"
        "2,20,0.25,0.001,0.75,\n"
        "3,30,0.125,0.0005,,nan\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_resume_drops_the_epochs_that_are_trained_again(tmp_path):
    log = build_log(tmp_path)
    for epoch in (1, 2, 3):
        log.epoch(epoch, 10 * epoch, {"train/loss": 1.0 / epoch})
    resumed = build_log(tmp_path, resume_epoch=1)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,train/loss\n1,10,1.0\n"
    resumed.epoch(2, 20, {"train/loss": 0.5, "val/miou": 0.25})
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,train/loss,val/miou\n1,10,1.0,\n2,20,0.5,0.25\n"


def test_resume_before_the_end_of_the_first_epoch_leaves_the_header(tmp_path):
    build_log(tmp_path).epoch(1, 10, {"train/loss": 1.0})
    build_log(tmp_path, resume_epoch=0)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step\n"


@pytest.mark.parametrize("text", ["epoch;step;lr\n1;10;0.1\n", "epoch,step,lr\n1,10\n", "epoch,step\n1,10,0.1\n"])
def test_a_metrics_csv_that_was_edited_is_named(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(CheckpointError, match=r"metrics\.csv:2: not a row of epoch, step"):
        MetricsFile(tmp_path / "metrics.csv", resume_epoch=1)


def test_a_row_that_cannot_be_written_warns_and_goes_out_with_the_next(tmp_path, capsys):
    log = build_log(tmp_path)
    obstacle = tmp_path / "metrics.csv"
    obstacle.mkdir()
    log.epoch(1, 10, {"lr": 0.1})
    assert capsys.readouterr().out.startswith("warning: metrics.csv was not written: [Errno 21]")
    obstacle.rmdir()
    log.epoch(2, 20, {"lr": 0.1})
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,lr\n1,10,0.1\n2,20,0.1\n"


def test_epoch_line():
    values = {"train/loss": 0.43214, "val/loss": 0.5, "val/miou": 0.6123, "lr": 1e-3, "images_per_second": 34.52}
    assert describe_epoch(3, values, epochs=30, best=True) == (
        "epoch  3/30  train loss 0.4321  val loss 0.5000  miou 0.6123  lr 1.0e-03  34.5 images/s  best"
    )
    assert describe_epoch(3, {"train/loss": 2.0}, epochs=30, seconds_left=340.4) == (
        "epoch  3/30  train loss 2.0000  05:40 left"
    )


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, 280.0),  # 3 epochs took 30 s: 28 of 31 are left
        ({"max_steps": 10}, 20.0),  # of the optimizer, of which 6 are done in 12 batches
        ({"max_steps": 5}, 0.0),
        ({"max_hours": 0.01}, 6.0),
        ({"max_hours": 10.0}, 280.0),
    ],
)
def test_seconds_left_by_hand(limits, left):
    limits = {"epochs": 31, "max_steps": None, "max_hours": None, "accumulate_steps": 2} | limits
    assert seconds_left(limits, epochs=3, steps=12, seconds=30.0) == pytest.approx(left)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass only when told, in place of the `time` module."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("segtrain.log.log.time", clock)
    return clock


def test_bar_shows_share_loss_speed_and_waiting(tmp_path, monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("segtrain.log.log.tqdm.monitor_interval", 0)
    with build_log(tmp_path).progress(4, title="train 1/2", initial=2) as bar:
        clock.now += 10.0
        bar.update(images=8, loss=0.5, wait_seconds=0.3)
        clock.now += 10.0
        bar._bar.mininterval = 0.0
        bar.update(images=8, loss=None, wait_seconds=0.3)
        assert bar.images_per_second == pytest.approx(0.8)
        assert bar.wait_share == pytest.approx(0.015)  # of the second step alone
    last = terminal.getvalue().split("\r")
    assert any(
        "train 1/2 100%" in part and "loss 0.5000, 0.8 images/s, data 2%, 00:00 left in this epoch," in part
        for part in last
    )


def test_without_a_terminal_one_line_each_half_minute(tmp_path, clock, capsys):
    with build_log(tmp_path).progress(100, title="val") as bar:
        for _ in range(7):
            clock.now += 10.0
            bar.update(images=4, loss=None, wait_seconds=1.0)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == ("val   3% 0.4 images/s, data 7%, 16:10 left\nval   6% 0.4 images/s, data 8%, 15:40 left\n")


def test_the_time_left_of_a_resumed_training(tmp_path, clock, capsys):
    log = build_log(tmp_path, resume_epoch=7, resume_seconds=75.0)
    with log.progress(40, title="epoch 8/30", initial=20) as progress:
        clock.now += 32.0
        progress.update(images=4, loss=0.5, wait_seconds=0.0)
    # 32 s a step: 19 more take 608 s. 107 s for 7.525 epochs: 22.475 more take 319.6 s.
    assert capsys.readouterr().out == (
        "epoch 8/30  52% loss 0.5000, 0.1 images/s, data 0%, 10:08 left in this epoch, 05:19 in total\n"
    )


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_progress_false_is_silent(tmp_path, monkeypatch, clock, capsys, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with build_log(tmp_path, progress=False).progress(2, title="train") as bar:
        clock.now += 60.0
        bar.update(images=4, loss=1.0, wait_seconds=1.0)
        assert bar.images_per_second == pytest.approx(4 / 60)
    assert stream.getvalue() == "" and capsys.readouterr().out == ""


def test_say_clears_the_bar_and_draws_it_again(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("segtrain.log.log.tqdm.monitor_interval", 0)
    log = build_log(tmp_path)
    with log.progress(2, title="train"):
        log.say("a line")
    before, after = terminal.getvalue().split("a line\n")
    assert before.endswith("\r") and "train   0%" in before and "train   0%" in after


def test_tensorboard_holds_what_was_flushed(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = build_log(tmp_path, tensorboard=True)
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "confusion.png")
    log.step(1, {"train/loss": 2.0})
    log.step(2, {"train/loss": 1.0})
    log.epoch(1, 2, {"train/loss": 1.5, "val/iou/sky": 0.25})
    log.images(2, [SimpleNamespace(name="street/a", image=red, mask=None, prediction=red[..., 0], panel=red)])
    log.confusion(2, np.array([[3, 1], [0, 4]]), tmp_path / "confusion.png")
    log.flush()
    log.step(3, {"train/loss": 0.5})
    log.finish({"best/val/miou": 0.25}, exit_code=1)

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert scalars == {
        "train/loss": [(1, 2.0), (2, 1.0)],
        "epoch/train/loss": [(2, 1.5)],
        "val/iou/sky": [(2, 0.25)],
        "epoch": [(2, 1.0)],
    }
    for tag in ("panels/street/a", "val/confusion_picture"):
        (picture,) = events.Images(tag)
        assert (picture.step, picture.width, picture.height) == (2, 6, 4)
        with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
            assert np.array_equal(np.asarray(image), red)


@pytest.mark.parametrize(("exit_code", "resume_epoch", "steps"), [(0, 0, [1]), (1, 0, []), (1, None, [1])])
def test_after_a_failure_only_a_run_that_cannot_resume_keeps_its_queue(tmp_path, exit_code, resume_epoch, steps):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = build_log(tmp_path, tensorboard=True, resume_epoch=resume_epoch)
    log.step(1, {"lr": 0.1})
    log.finish(exit_code=exit_code)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for tag in events.Tags()["scalars"] for event in events.Scalars(tag)] == steps


def test_a_writer_that_fails_costs_one_line(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("in the way")
    log = build_log(tmp_path, tensorboard=True)
    log.step(1, {"lr": 0.1})
    log.flush()
    log.epoch(1, 1, {"lr": 0.1})
    log.finish()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1] == "epoch  1/30  lr 1.0e-01"
    assert lines[0].startswith("warning: TensorBoard is disabled for the rest of this run: ")


def test_wandb_that_is_not_installed_costs_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "segtrain.log.wandb_writer", raising=False)  # an earlier test may have imported it
    log = build_log(tmp_path, wandb_mode="offline")
    log.epoch(1, 1, {"lr": 0.1})
    log.flush()
    log.finish()
    warning, epoch = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: wandb is disabled for the rest of this run: import of wandb")
    assert epoch == "epoch  1/30  lr 1.0e-01" and (tmp_path / "metrics.csv").exists()


def test_a_picture_that_is_missing_costs_one_line(tmp_path, capsys):
    build_log(tmp_path).confusion(1, np.eye(2, dtype=np.int64), tmp_path / "confusion.png")
    assert capsys.readouterr().out.startswith("warning: the confusion matrix is logged without its image: [Errno 2]")


@pytest.mark.parametrize(
    ("configured", "variable", "value"),
    [("disabled", "WANDB_MODE", ""), ("online", "WANDB_MODE", "disabled"), ("online", "WANDB_DISABLED", "true")],
)
def test_disabled_does_not_import_wandb_and_keeps_its_id(tmp_path, configured, variable, value):
    text = f"""
import sys
from pathlib import Path
from types import SimpleNamespace
from segtrain.log.log import Log
config = SimpleNamespace(progress=False, tensorboard=False, wandb=SimpleNamespace(mode="{configured}"))
arguments = {{"run_name": "a", "resolved_config": {{"train": {{}}}}, "class_names": ["a"]}}
log = Log(Path({str(tmp_path)!r}), config, **arguments, wandb_id="kept")
log.finish()
print(log.wandb_id, "wandb" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), variable: value}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "kept False\n", done.stderr
