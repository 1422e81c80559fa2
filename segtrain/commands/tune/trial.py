"""Trial: one training in a process and a run folder of its own, watched while it goes on."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas

from segtrain.errors import CheckpointError
from segtrain.log.record import RUNNING, read_record
from segtrain.training.child import start_training

_POLL_SECONDS = 0.5
STOPPED_BY_SIGNAL = 143


def read_scores(folder: Path, column: str) -> dict[int, float]:
    """A column of a run's metrics.csv by epoch, from 1, where there is a number; empty before the first evaluation."""
    path = folder / "metrics.csv"
    table = pandas.read_csv(path) if path.is_file() else pandas.DataFrame()
    if column not in table:
        return {}
    known = table[["epoch", column]].dropna()
    return dict(zip(known["epoch"].astype(int).tolist(), known[column].tolist(), strict=True))


def is_training(folder: Path) -> bool:
    """Whether a process trains in a run folder."""
    try:
        return read_record(folder).state == RUNNING
    except CheckpointError:  # it is not there yet
        return False


def run_training(arguments: Sequence[str], folder: Path, log: Path, *, goes_on: Callable[[], bool]) -> int:
    """Train in a run folder, new or begun, with what the training prints appended to the file `log`.

    Args:
        arguments: layers of the experiment, as train.py takes them.
        folder: the run folder. Where a training is at work in it, which a search that was killed has left, its end is
            awaited first.
        log: file for the output.
        goes_on: asked twice a second; once it is False the training is told to save and stop.

    Returns:
        The exit status, negative for a signal that ended the process.
    """
    while True:
        while is_training(folder):
            if not goes_on():
                return STOPPED_BY_SIGNAL
            time.sleep(_POLL_SECONDS)
        process = start_training(folder, arguments, log)
        try:
            while process.poll() is None and goes_on():
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.terminate()
            status = process.wait()
        if status == 0 or not is_training(folder):
            return status


def drop_weights(folder: Path) -> None:
    """Delete the checkpoints of a run; its numbers and pictures stay."""
    for path in folder.glob("*.pt"):
        path.unlink(missing_ok=True)
