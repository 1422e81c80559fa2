"""Trial: one training in a process and a run folder of its own, watched while it goes on."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas

from segtrain.errors import CheckpointError
from segtrain.log.record import RUNNING, read_record

POLL_SECONDS = 0.5
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
    command = [sys.executable, "-m", "segtrain", "train", "--run-folder", str(folder), *arguments]
    while True:
        while is_training(folder):
            if not goes_on():
                return STOPPED_BY_SIGNAL
            time.sleep(POLL_SECONDS)
        with log.open("ab") as output:
            # In a session of its own Ctrl-C does not reach it: it is told to stop once, by this process.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            while process.poll() is None and goes_on():
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.terminate()
            status = process.wait()
        if status == 0 or not is_training(folder):
            return status


def describe_failure(status: int, log: Path) -> str:
    """Why a training has failed: the signal that ended it, or the last line that it printed."""
    if status < 0:
        return f"ended by signal {-status}" + (", most likely for lack of memory" if status == -9 else "")
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit status {status}"


def drop_weights(folder: Path) -> None:
    """Delete the checkpoints of a run; its numbers and pictures stay."""
    for path in folder.glob("*.pt"):
        path.unlink(missing_ok=True)
