"""Run of a process that is not the first: it takes part in every decision, and writes nothing."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.command import StopSignal
from segtrain.config.schema import Config
from segtrain.log.log import Log, Progress
from segtrain.training.run import Run
from segtrain.training.state import TrainState


class Follower(Run):
    """A run whose folder and log are those of the first process."""

    def __init__(self, config: Config) -> None:
        super().__init__(Path(os.devnull), config, _NoLog(), StopSignal(), lock=None)

    def __exit__(self, *_: object) -> None:
        self.stop.release()

    def save_last(self, state: TrainState) -> None:
        """See Run."""
        self.require_finite(state)
        state.tick()
        self._saved_at, self.stop.wants_save = time.monotonic(), False

    def save_best(self, state: TrainState) -> None:
        """See Run."""

    def save_epoch(self, state: TrainState, values: dict[str, float]) -> None:
        """See Run."""

    def show(self, state: TrainState, evaluation: Any) -> None:
        """See Run."""

    def draw(self, matrix: np.ndarray) -> None:
        """See Run."""

    def report(self, state: TrainState) -> None:
        """See Run."""


class _NoLog(Log):
    """A log without a file, a writer or a line."""

    def __init__(self) -> None:
        pass

    has_wandb = False

    def say(self, text: str) -> None:
        """See Log."""

    def progress(self, total: int, *, title: str, initial: int | None = None) -> Progress:
        """See Log."""
        return Progress(total, title=title, initial=initial or 0, visible=False, say=self.say)

    def step(self, *arguments: Any, **named: Any) -> None:
        """See Log."""

    def epoch(self, *arguments: Any, **named: Any) -> None:
        """See Log."""
