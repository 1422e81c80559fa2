"""List of the runs of a folder, read without torch."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from segtrain.errors import CheckpointError
from segtrain.files import natural_order
from segtrain.log.record import RunRecord, read_record
from segtrain.log.show import format_columns, show_duration


def format_runs(folder: Path) -> str:
    """A line for each run, the one that was written last first, then one for each folder that is not a run or is
    broken. Raises CheckpointError if the folder contains no runss."""
    try:
        paths = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural_order(path.name))
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be listed: {error.strerror}; give a folder that contains runs"
        ) from error
    records, problems = [], []
    for path in paths:
        try:
            if not path.name.startswith("."):
                records.append(read_record(path))
        except CheckpointError as error:
            problems.append(f"warning: {describe_other(path) or error}")
        except OSError as error:  # no permission
            problems.append(f"warning: {path}: cannot be read: {error.strerror}")
    if not records:
        if (folder / "config.yml").is_file():
            raise CheckpointError(f"{folder}: is itself a run; give the folder that contains it")
        raise CheckpointError(f"{folder}: contains no runs", *problems)
    ages = {record.folder: find_age(record) for record in records}
    records.sort(key=lambda record: ages[record.folder])
    lines = [["run", "state", "score", "metric", "epoch", "age"]]
    lines += [describe_run(record, ages[record.folder]) for record in records]
    return "\n".join([format_columns(lines), *problems])


def describe_other(path: Path) -> str:
    """What a folder is that holds runs, but is not one; empty for any other."""
    return f"{path}: contains runs: python -m segtrain runs {path}" if any(path.glob("*/config.yml")) else ""


def describe_run(record: RunRecord, age: float) -> Sequence[str]:
    """The cells of its line."""
    best, trained = record.best, record.table["epoch"].max() if len(record.table) else 0
    score = "-" if best is None else f"{best[record.monitor]:.4f}"
    epoch = "-" if best is None else f"{best['epoch']:.0f}"
    metric = record.config.train.monitor
    return [record.folder.name, record.state, score, metric, f"{epoch}/{trained:.0f}", show_duration(age)]


def find_age(record: RunRecord) -> float:
    """Seconds since the newest of its files was written."""
    times = []
    for name in ("config.yml", "metrics.csv", "last.pt", "summary.json"):
        with suppress(OSError):
            times.append((record.folder / name).stat().st_mtime)
    return max(0.0, time.time() - max(times, default=time.time()))
