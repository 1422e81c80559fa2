"""Log of a run: console lines and a progress bar, metrics.csv, Weights & Biases, TensorBoard.

The training loop knows `Log` only. Values for charts wait in memory until `flush`, which the loop calls right after the
checkpoint that a resumed run would start from has been saved: the history then never holds a step that will be trained
again, and a run that is killed and resumed neither loses nor doubles one.
"""

import csv
import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image
from pydantic import ValidationError
from tqdm import tqdm

from segtrain.devices import describe_gpu_memory
from segtrain.errors import CheckpointError, first_fault, reason_of
from segtrain.files import replacing
from segtrain.log import SUMMARY
from segtrain.visualize import Panel

LINE_EVERY_SECONDS = 30.0


@dataclass
class Row:
    """All that is known of one step. `confusion`: the (C, C) counts and their picture, HWC uint8 RGB. `histograms`:
    counts and borders of the bins, as of numpy."""

    values: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)
    confusion: tuple[np.ndarray, np.ndarray | None] | None = None


class Progress:
    """Speed of one pass over a loader, shown as a bar on a terminal, else as one line each half minute.

    `compute_left` gives the seconds that are left of the whole training, for steps done in this pass and its seconds.
    """

    def __init__(
        self,
        total: int,
        *,
        title: str,
        initial: int,
        visible: bool,
        say: Callable[[str], None],
        compute_left: Callable[[int, float], float] | None = None,
    ) -> None:
        self._title, self._visible, self._say, self._compute_left = title, visible, say, compute_left
        self._started = self._line_at = time.monotonic()
        self._images, self._wait_seconds, self._loss = 0, 0.0, math.nan
        self._on_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc=title,
            initial=initial,
            disable=not (visible and self._on_terminal),
            leave=False,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix[0]}",
            postfix=[""],
        )
        self._total, self._done, self._initial = total, initial, initial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    @property
    def images_per_second(self) -> float:
        return self._images / max(time.monotonic() - self._started, 1e-9)

    @property
    def wait_share(self) -> float:
        """Part of the time so far, 0..1, in which a step waited for its batch, the first left out."""
        return self._wait_seconds / max(time.monotonic() - self._started, 1e-9)

    def update(self, *, images: int, loss: float | None, wait_seconds: float) -> None:
        """One step is done. `loss` None: not read from the device this time, the last one stays on show."""
        self._done += 1
        self._images += images
        if self._done > self._initial + 1:  # before the first step reading processes start
            self._wait_seconds += wait_seconds
        self._loss = self._loss if loss is None else loss
        if not self._bar.disable:
            self._bar.postfix[0] = self._describe()
            self._bar.update()
        elif self._visible and not self._on_terminal and time.monotonic() - self._line_at >= LINE_EVERY_SECONDS:
            self._line_at = time.monotonic()
            self._say(f"{self._title} {self._done / self._total:4.0%} {self._describe()}")

    def _describe(self) -> str:
        parts = [] if math.isnan(self._loss) else [f"loss {self._loss:.4f}"]
        parts += [f"{self.images_per_second:.1f} images/s", f"data {self.wait_share:.0%}"]
        if memory := describe_gpu_memory():
            parts.append(memory)
        seconds = time.monotonic() - self._started
        steps = self._done - self._initial
        parts.append(f"{tqdm.format_interval(seconds / steps * (self._total - self._done))} left")
        if self._compute_left is not None:
            parts[-1] += f" in this epoch, {tqdm.format_interval(self._compute_left(steps, seconds))} in total"
        return ", ".join(parts)


class MetricsFile:
    """metrics.csv: one row per epoch, `epoch` (from 1) and `step` first. A column that comes later is empty before.

    The whole file is written each time, beside the old one, and renamed: it is small, and no reader sees half of it.
    """

    def __init__(self, path: Path, *, resume_epoch: int | None = None) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []
        if resume_epoch is not None and path.exists():
            self._rows = [row for row in _read_rows(path) if int(row["epoch"]) <= resume_epoch]
            self._write()

    def append(self, row: dict[str, Any]) -> None:
        """Raises OSError when the disk is full or gone; the row is kept and goes out with the next one."""
        self._rows.append(row)
        self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        with replacing(self._path, sync=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns or ["epoch", "step"], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row.get("epoch", "").isdecimal():
            raise CheckpointError(
                f"{path}:{number}: not a row of epoch, step, ...; move the file elsewhere to resume without it"
            )
    return rows


class Log:
    """Everything a run writes for people. Made once per run, on the main process only.

    A writer that fails (no space, no network, a library that is missing) costs one warning line and is then left out:
    it never ends a training.
    """

    def __init__(
        self,
        folder: Path,
        config: Any,
        *,
        run_name: str,
        resolved_config: dict[str, Any],
        class_names: Sequence[str],
        wandb_id: str | None = None,
        resume_epoch: int | None = None,
        resume_step: int | None = None,
        resume_total_steps: int = 0,
        resume_seconds: float = 0.0,
    ) -> None:
        """`folder` exists. `config` is the log section. `class_names`: of mask values 0..C-1, so two for a binary mask.

        A resumed run passes what its checkpoint holds: the `wandb_id`; `resume_epoch`, the whole epochs that it covers
        (rows of metrics.csv past those are dropped: they are trained again); `history_step`, as `resume_step`; the
        steps and the seconds of training that it covers.
        """
        self._config, self._folder, self._limits = config, folder, resolved_config["train"]
        self._epochs, self._steps, self._seconds = resume_epoch or 0, resume_total_steps, resume_seconds
        (folder / SUMMARY).unlink(missing_ok=True)
        self._wandb_id, self._resume_step = wandb_id, resume_step
        self._queue: dict[int, Row] = {}
        self._resumable = resume_epoch is not None
        self._metrics = MetricsFile(folder / "metrics.csv", resume_epoch=resume_epoch)
        self._writers: dict[str, Any] = {}
        if config.tensorboard:
            self._guard("TensorBoard", lambda: self._start_tensorboard(folder))
        if (mode := resolve_mode(config.wandb.mode)) != "disabled":
            arguments = {
                "mode": mode,
                "run_name": run_name,
                "resolved_config": resolved_config,
                "class_names": list(class_names),
            }
            self._guard("wandb", lambda: self._start_wandb(folder, arguments))

    @property
    def wandb_id(self) -> str | None:
        """For the checkpoint. Stays what it was when wandb is off this time: a later resume still finds the run."""
        return self._wandb_id

    @property
    def history_step(self) -> int | None:
        """For the checkpoint: the last step of wandb's history once the queue is flushed. It may be past the train
        step: a run that is stopped between a step and its evaluation has two rows, and wandb takes one of each step."""
        last = self._writers["wandb"].last_step if "wandb" in self._writers else self._resume_step
        for step in sorted(self._queue) if last is not None else ():
            last = max(step, last + 1)
        return last

    @property
    def has_wandb(self) -> bool:
        """Whether Weights & Biases is on."""
        return "wandb" in self._writers

    def describe(self, values: dict[str, Any]) -> None:
        """What `auto` and the dataset turned out to be, once all is built: for the configuration in wandb."""
        if writer := self._writers.get("wandb"):
            self._guard("wandb", lambda: writer.describe(values))

    def say(self, text: str) -> None:
        """Print a line above the progress bar. A full disk or a closed pipe behind stdout ends no training."""
        with suppress(OSError):
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def progress(self, total: int, *, title: str, initial: int | None = None) -> Progress:
        """`total` counts steps, as does `initial`: where in an epoch of the training the pass starts; None for another
        pass."""

        def compute_left(steps: int, seconds: float) -> float:
            done = {"epochs": self._epochs + (initial + steps) / total, "steps": self._steps + steps}
            return seconds_left(self._limits, **done, seconds=self._seconds + seconds)

        return Progress(
            total,
            title=title,
            initial=initial or 0,
            visible=self._config.progress,
            say=self.say,
            compute_left=None if initial is None else compute_left,
        )

    def step(self, step: int, values: dict[str, float]) -> None:
        """Values of the per-step charts: train/loss, train/loss/<Term>, lr."""
        self._row(step).values.update(values)

    def histograms(self, step: int, values: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """See Row."""
        self._row(step).histograms.update(values)

    def epoch(
        self, epoch: int, step: int, values: dict[str, float], *, seconds: float = 0.0, best: bool = False
    ) -> None:
        """One row of metrics.csv, one console line, one history row. `epoch` from 1, `step` the last one of it,
        `seconds` those of the training up to this evaluation.

        In the history the means of the epoch (train/...) are named epoch/train/..., since train/... is the curve per
        step and both have a value at this step. metrics.csv has the names as given.
        """
        try:
            self._metrics.append({"epoch": epoch, "step": step} | values)
        except OSError as error:
            self.say(f"warning: metrics.csv was not written: {reason_of(error)}")
        self._epochs, self._steps, self._seconds = epoch, step, seconds + values.get("val_seconds", 0.0)
        left = seconds_left(self._limits, epochs=epoch, steps=step, seconds=self._seconds)
        self.say(describe_epoch(epoch, values, epochs=self._limits["epochs"], seconds_left=left, best=best))
        renamed = {f"epoch/{name}" if name.startswith("train/") else name: value for name, value in values.items()}
        self._row(step).values.update(renamed, epoch=epoch)

    def images(self, step: int, panels: Sequence[Panel]) -> None:
        self._row(step).panels.extend(panels)

    def confusion(self, step: int, matrix: np.ndarray, picture_path: Path | None) -> None:
        """`matrix`: (C, C) int64 pixels, rows ground truth. The picture is read now, since its file may be replaced."""
        picture = None
        try:
            if picture_path is not None:
                with Image.open(picture_path, formats=["PNG"]) as file:
                    picture = np.asarray(file.convert("RGB"))
        except OSError as error:
            self.say(f"warning: the confusion matrix is logged without its image: {reason_of(error)}")
        self._row(step).confusion = (matrix, picture)

    def checkpoint(self, path: Path, kind: str, metadata: dict[str, Any]) -> None:
        """A file was saved; `kind` is 'best' or 'latest'. The end uploads it, where log.wandb.artifacts has it."""
        if writer := self._writers.get("wandb"):
            self._guard("wandb", lambda: writer.checkpoint(path, kind, metadata))

    def flush(self) -> None:
        """Send the queue. To be called right after the checkpoint for resuming has been saved, and at no other time."""
        self._resumable = True
        self._send()

    def finish(self, summary: dict[str, float] | None = None, *, exit_code: int = 0, reason: str = "") -> None:
        """Close all. `summary`: of a training that has come to its end, under the names to show (epochs, seconds,
        best/epoch, best/val/miou); summary.json. `reason`: why it has not.

        After a failure the queue is dropped where a checkpoint exists: its steps are trained again on resume.
        """
        if exit_code == 0 or not self._resumable:
            self._send()
        self._queue.clear()
        if summary is not None:
            try:
                with replacing(self._folder / SUMMARY) as temporary:
                    temporary.write_text(json.dumps(summary, indent=1) + "\n")
            except OSError as error:
                self.say(f"warning: {SUMMARY} was not written: {reason_of(error)}")
        if writer := self._writers.get("wandb"):
            self._guard("wandb", lambda: writer.finish(summary, exit_code=exit_code, reason=reason))
        if board := self._writers.get("TensorBoard"):
            self._guard("TensorBoard", board.finish)
        self._writers.clear()

    def _start_wandb(self, folder: Path, arguments: dict[str, Any]) -> None:
        from segtrain.log.wandb_writer import WandbWriter

        resumed = {"run_id": self._wandb_id, "resume_step": self._resume_step}
        writer = WandbWriter(folder, self._config.wandb, **arguments, **resumed, say=self.say)
        self._writers["wandb"], self._wandb_id = writer, writer.run_id

    def _start_tensorboard(self, folder: Path) -> None:
        from segtrain.log.tensorboard_writer import TensorBoardWriter

        self._writers["TensorBoard"] = TensorBoardWriter(folder / "tensorboard")

    def _row(self, step: int) -> Row:
        return self._queue.setdefault(step, Row())

    def _send(self) -> None:
        for step in sorted(self._queue):
            for name, writer in list(self._writers.items()):
                self._guard(name, functools.partial(writer.write, step, **vars(self._queue[step])))
        self._queue.clear()

    def _guard(self, name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            self._writers.pop(name, None)
            reason = first_fault(error) if isinstance(error, ValidationError) else reason_of(error)
            self.say(f"warning: {name} is disabled for the rest of this run: {reason}")


def resolve_mode(mode: str) -> str:
    """'online', 'offline' or 'disabled': WANDB_DISABLED and WANDB_MODE, where they are set, win over the configuration
    unless that says disabled."""
    if mode == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "on"):
        return "disabled"
    mode = os.environ.get("WANDB_MODE") or mode
    return {"dryrun": "offline", "run": "online", "shared": "online"}.get(mode, mode)


def seconds_left(limits: dict[str, Any], *, epochs: float, steps: int, seconds: float) -> float:
    """Of a training that took `seconds` for `epochs` and their `steps` (batches), at the same speed: up to the first of
    its limits, which are epochs, max_steps (of the optimizer) and max_hours."""
    wholes = [seconds * limits["epochs"] / epochs]
    if limits["max_steps"] is not None:
        wholes.append(seconds * limits["max_steps"] * limits["accumulate_steps"] / steps)
    if limits["max_hours"] is not None:
        wholes.append(3600 * limits["max_hours"])
    return max(min(wholes) - seconds, 0.0)


def describe_epoch(
    epoch: int, values: dict[str, float], *, epochs: int, seconds_left: float = 0.0, best: bool = False
) -> str:
    """'epoch 3/30  train loss 0.4321  val loss 0.5012  miou 0.6123  lr 1.0e-03  34.5 images/s  05:40 left  best': what
    is there."""
    formats = {
        "train/loss": "train loss {:.4f}",
        "val/loss": "val loss {:.4f}",
        "val/miou": "miou {:.4f}",
        "lr": "lr {:.1e}",
        "images_per_second": "{:.1f} images/s",
    }
    parts = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}"]
    parts += [text.format(values[name]) for name, text in formats.items() if not math.isnan(values.get(name, math.nan))]
    parts += [f"{tqdm.format_interval(seconds_left)} left"] if seconds_left >= 1 else []
    return "  ".join([*parts, "best"] if best else parts)
