"""Report of a batch: the mean of each experiment, the table of compare, and what failed."""

import importlib.util
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from segtrain.command import tell
from segtrain.commands.batch.plan import PlannedRun
from segtrain.log.record import read_record


def report(finished: Sequence[PlannedRun], failures: Mapping[str, str]) -> None:
    """Print mean and deviation of the experiments with several finished runs, then what `compare` says of their
    folders, and the names of the `failures` on stderr."""
    experiments: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in finished:
        experiments[run.config.name].append(run)
    for name, runs in experiments.items():
        scores = [read_record(run.folder).summary.get("best/score", np.nan) for run in runs]
        if len(runs) > 1:
            mean, deviation = np.mean(scores), np.std(scores, ddof=1)
            print(
                f"{name}: {runs[0].config.train.monitor} {mean:.4f} ± {deviation:.4f} (mean and standard deviation of "
                f"{len(runs)} runs)"
            )
    if finished and importlib.util.find_spec("segtrain.commands.compare"):
        sys.stdout.flush()
        folders = [str(run.folder) for run in finished]
        subprocess.run([sys.executable, "-m", "segtrain", "compare", *folders], check=False)
    if failures:
        tell(f"{len(failures)} of {len(finished) + len(failures)} runs failed: {', '.join(failures)}")
