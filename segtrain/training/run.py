"""Run folder: checkpoints, pictures, log and environment of one training."""

import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas
from filelock import FileLock
from PIL import Image

from segtrain.checkpoint import BEST, LAST, save_checkpoint
from segtrain.command import Stopped, StopSignal
from segtrain.config.schema import Config
from segtrain.data.loaders import EvalLoader
from segtrain.distributed import highest, size
from segtrain.errors import TrainingError, reason_of
from segtrain.inference.task import Task
from segtrain.log.log import Log
from segtrain.metrics import MIOU_DEFINITION, MULTILABEL_DEFINITION, format_table
from segtrain.models.model import count_parameters, drop_auxiliary
from segtrain.plots import plot_confusion, plot_curves
from segtrain.training.state import TrainState, read_score

PICTURES_EVERY_SECONDS = 60.0


def plain_config(config: Config) -> dict[str, Any]:
    """The complete configuration in plain types, as it is saved."""
    return config.model_dump(mode="json", exclude_none=False)


class Run:
    """A run folder with its log, its checkpoints and its pictures; a context manager that closes the log after a
    failure."""

    def __init__(self, folder: Path, config: Config, log: Log, stop: StopSignal, lock: FileLock | None):
        self.folder = folder
        self.config = config
        self.log = log
        self.stop = stop
        self.lock = lock
        self.task = Task.of(config)
        self._drawing = False
        self._saved_at = self._pictured_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.log.finish(exit_code=getattr(error, "exit_code", 1), reason=reason_of(error))
        self.stop.release()
        self.lock.release()

    def must_save(self, state: TrainState) -> bool:
        """Whether last.pt is due, by time or because of a signal; all processes agree."""
        due = time.monotonic() - self._saved_at > 60 * self.config.train.save_every_minutes
        return any(state.tick(self.stop.number, due or self.stop.wants_save))

    def stop_if_asked(self) -> None:
        """Raises Stopped if a signal has come in to any of the processes."""
        (number,) = map(int, highest(self.stop.number))
        if number:
            raise Stopped(number, f"stopped and saved; resume with: python train.py --resume {self.folder}")

    def require_finite(self, state: TrainState) -> None:
        """Raises TrainingError if a weight is no longer finite: it must be neither saved nor scored."""
        if not state.is_finite():
            raise TrainingError(
                f"training stopped at step {state.total_steps} (epoch {state.epoch + 1}): a weight is no longer "
                f"finite; the last checkpoint before it was kept; lower optimizer.lr or set train.clip_norm: 1.0"
            )

    def save_last(self, state: TrainState) -> None:
        """Save everything that resuming needs, then flush the log. Raises TrainingError if a weight is not finite."""
        self.require_finite(state)
        state.tick()
        content = {
            "kind": "last",
            "config": plain_config(self.config),
            "wandb_id": self.log.wandb_id,
            "wandb_step": self.log.history_step,
            "processes": size(),
            **state.to_dict(),
        }
        save_checkpoint(self.folder / LAST, content)
        self.log.flush()
        self.log.checkpoint(self.folder / LAST, "latest", {"epoch": state.epoch})
        self._saved_at, self.stop.wants_save = time.monotonic(), False

    def save_best(self, state: TrainState) -> None:
        """Save everything that using the model needs: weights, configuration, classes and score."""
        self._save_weights(self.folder / BEST, "best", state, state.best.epoch, state.best.metrics)
        self.announce_best(state)

    def save_epoch(self, state: TrainState, values: dict[str, float]) -> None:
        """Save the same for the epoch that was just trained, with the result of its evaluation, if it had one."""
        metrics = {name: float(value) for name, value in values.items() if name.startswith("val/")}
        self._save_weights(self.folder / f"epoch-{state.epoch}.pt", "epoch", state, state.epoch, metrics)

    def _save_weights(self, path: Path, kind: str, state: TrainState, epoch: int, metrics: dict[str, float]) -> None:
        content = {
            "kind": kind,
            "config": plain_config(self.config),
            "classes": self.config.data.class_names,
            "colors": [list(color) for color in self.task.colors],
            "model": drop_auxiliary(state.evaluated.state_dict()),
            "origin": state.model.origin,
            "monitor": self.config.train.monitor,
            "score": read_score(metrics, self.config.train.monitor),
            "epoch": epoch,
            "metrics": metrics,
            "definition": MULTILABEL_DEFINITION if self.config.data.multilabel else MIOU_DEFINITION,
        }
        save_checkpoint(path, content)

    def announce_best(self, state: TrainState) -> None:
        """Tell the log about best.pt if it exists: after it is saved, and once when a run is resumed."""
        if (self.folder / BEST).is_file():
            facts = {"epoch": state.best.epoch, self.config.train.monitor: state.best.score}
            self.log.checkpoint(self.folder / BEST, "best", facts)

    def shown_names(self, loader: EvalLoader, *, final: bool) -> list[str]:
        """The validation images whose predictions are drawn in this evaluation: always the same, spread over the set;
        none if the last drawing is recent."""
        self._drawing = final or time.monotonic() - self._pictured_at > PICTURES_EVERY_SECONDS
        samples = loader.dataset.samples
        count = min(self.config.log.images, len(samples)) if self._drawing else 0
        return [samples[int(index)].name for index in np.linspace(0, len(samples) - 1, count)]

    def show(self, state: TrainState, evaluation: Any) -> None:
        """Draw predictions, curves and the confusion matrix of an evaluation, if they are due."""
        if not self._drawing:
            return
        self._pictured_at = time.monotonic()
        folder = self.folder / "predictions"
        try:
            folder.mkdir(exist_ok=True)
            for panel in evaluation.panels:
                Image.fromarray(panel.panel).save(folder / f"{panel.name.replace('/', '_')}.png")
        except OSError as error:
            return self.log.say(f"warning: pictures were not written: {reason_of(error)}")
        self.draw(evaluation.matrix)
        self.log.images(state.total_steps, evaluation.panels)
        self.log.confusion(state.total_steps, evaluation.matrix, self.folder / "confusion.png")

    def draw(self, matrix: np.ndarray) -> None:
        """Draw curves.png from metrics.csv, and confusion.png from a confusion matrix (C, C); a full disk causes a
        warning."""
        try:
            plot_curves(pandas.read_csv(self.folder / "metrics.csv"), self.folder / "curves.png")
            plot_confusion(matrix, self.config.data.class_names, self.folder / "confusion.png")
        except OSError as error:
            self.log.say(f"warning: curves.png and confusion.png were not written: {reason_of(error)}")

    def report(self, state: TrainState) -> None:
        """Print the best evaluation, class by class, draw it, and close the log."""
        best, monitor = state.best, self.config.train.monitor
        summary = {"epochs": state.epoch, "seconds": state.seconds, "parameters": count_parameters(state.model)[0]}
        if not best.matrix:
            self.log.say(f"no evaluation computed {monitor}; {self.folder} has no {BEST}")
            return self.log.finish(summary)
        matrix = np.array(best.matrix, np.int64)
        self.draw(matrix)
        self.log.say(f"\nbest epoch {best.epoch}, {monitor} {best.score:.4f}, validation set:")
        self.log.say(format_table(matrix, self.config.data.class_names))
        summary |= {f"best/{name}": value for name, value in best.metrics.items() if not math.isnan(value)}
        self.log.finish(summary | {"best/epoch": best.epoch, "best/score": best.score})
        made = sorted(path.name for path in self.folder.iterdir() if path.name[0] != ".")
        self.log.say(f"\n{self.folder}: {', '.join(made)}")
