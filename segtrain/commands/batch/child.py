"""Child of a batch: the process that trains one run, and what can be told of it."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from segtrain.commands.batch.plan import PlannedRun


@dataclass
class Child:
    """The process of a run. `offset`: where in its console file it began to write; `before`: epochs trained by then."""

    run: PlannedRun
    process: subprocess.Popen
    gpu: str | None
    offset: int
    before: int
    started: float

    @property
    def seconds(self) -> float:
        """The seconds since its start."""
        return time.monotonic() - self.started

    def explain_end(self) -> str:
        """Why it ended, in one line: the signal that killed it, or the last line that it wrote."""
        status = self.process.returncode
        if status < 0:
            name = signal.Signals(-status).name
            return f"killed by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")
        try:
            with self.run.console.open("rb") as file:
                file.seek(self.offset)
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), f"exit status {status}")


def start_child(run: PlannedRun, *, gpu: str | None, threads: int | None) -> Child:
    """Start or resume a run in a process with `gpu` alone, if that is named, and so many threads, unless the
    environment says how many. What it prints goes to the end of its console file."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    command = [sys.executable, "-m", "segtrain", "train", "--run-folder", str(run.folder), *run.layers]
    run.console.parent.mkdir(parents=True, exist_ok=True)
    before, started = count_epochs(run), time.monotonic()
    with run.console.open("ab") as console:
        offset = console.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the batch, which passes it on
        )
    return Child(run, process, gpu, offset, before, started)


def count_epochs(run: PlannedRun) -> int:
    """The epochs that a run has trained, as its metrics.csv has them."""
    try:
        with (run.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            return max((int(row["epoch"]) for row in csv.DictReader(file)), default=0)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return 0  # not begun, or damaged, as the process itself will say


def find_gpus() -> Sequence[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # takes seconds

    number = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:number] if named else list(map(str, range(number)))
