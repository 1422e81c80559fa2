"""Child of a batch: the process that trains one run, and what can be told of it."""

import csv
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from segtrain.commands.batch.plan import PlannedRun
from segtrain.training.child import explain_end, start_training


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
        """Why it ended, in one line."""
        return explain_end(self.process.returncode, self.run.console, offset=self.offset)


def start_child(run: PlannedRun, *, gpu: str | None, threads: int | None) -> Child:
    """Start or resume a run in a process with `gpu` alone, if that is named, and so many threads, unless the
    environment says how many. What it prints goes to the end of its console file."""
    environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(threads)
    run.console.parent.mkdir(parents=True, exist_ok=True)
    offset = run.console.stat().st_size if run.console.is_file() else 0
    before, started = count_epochs(run), time.monotonic()
    process = start_training(run.folder, run.layers, run.console, **environment)
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
