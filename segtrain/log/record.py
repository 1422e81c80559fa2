"""Record of a run: the content of its folder, read without torch."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from filelock import FileLock, Timeout
from pydantic import ValidationError

from segtrain.config.schema import Config
from segtrain.config.tree import load_yaml
from segtrain.errors import CheckpointError, ConfigError, first_fault, reason_of
from segtrain.log import SUMMARY

FINISHED, RUNNING, STOPPED, FAILED = "finished", "running", "stopped", "failed"


@dataclass(frozen=True, repr=False, eq=False)
class RunRecord:
    """A run folder; it can be passed wherever its path can.

    `state`: FINISHED, the training is complete; RUNNING, a process is training in it; STOPPED, it can be resumed;
    FAILED, it ended before its first checkpoint. `table`: metrics.csv, one row per epoch; empty if there is none.
    `summary`: summary.json of a finished run; otherwise empty.
    """

    folder: Path
    state: str
    config: Config
    table: pandas.DataFrame
    summary: dict[str, Any]

    @property
    def monitor(self) -> str:
        """The metric that chose best.pt, as a column of `table`: val/miou."""
        return "val/" + self.config.train.monitor.removeprefix("min ")

    @property
    def best(self) -> pandas.Series | None:
        """The row of the best epoch so far; None if no evaluation computed a score."""
        if self.monitor not in self.table or self.table[self.monitor].isna().all():
            return None
        scores = self.table[self.monitor]
        return self.table.loc[scores.idxmin() if self.config.train.monitor.startswith("min ") else scores.idxmax()]

    @property
    def score(self) -> float:
        """The best value of `monitor` so far; nan if no evaluation computed one."""
        return math.nan if self.best is None else float(self.best[self.monitor])

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        scored = "" if self.best is None else f", {self.monitor} {self.score:.4f} in epoch {self.best['epoch']:.0f}"
        return f"<{self.folder}: {self.state}{scored}>"


def read_record(folder: str | os.PathLike) -> RunRecord:
    """Read a run folder. Raises CheckpointError for any other folder, and for a file in it that cannot be read."""
    folder = Path(folder)
    path = folder / "config.yml"
    if not path.is_file():
        what = "is not a run folder; it has no config.yml" if folder.is_dir() else "does not exist"
        raise CheckpointError(f"{folder}: {what}")
    try:
        config = Config.model_validate(load_yaml(path).plain())
        path = folder / "metrics.csv"
        table = pandas.read_csv(path) if path.is_file() else pandas.DataFrame()
        if len(table) and ("epoch" not in table or len(table.select_dtypes("number").columns) < len(table.columns)):
            raise ValueError("is not a table of numbers with a column epoch")
        path = folder / SUMMARY
        summary = json.loads(path.read_bytes()) if path.is_file() else {}
        if not isinstance(summary, dict):
            raise ValueError("is not a mapping")
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: cannot be read: {first_fault(error)}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {reason_of(error)}") from error
    return RunRecord(folder, _find_state(folder), config, table, summary)


def _find_state(folder: Path) -> str:
    lock = folder / ".lock"
    try:
        if lock.is_file():
            with FileLock(lock, blocking=False):
                pass
    except Timeout:
        return RUNNING
    except (OSError, NotImplementedError):  # a folder that only others write to, or a file system without locks
        pass
    if (folder / SUMMARY).is_file():
        return FINISHED
    return STOPPED if (folder / "last.pt").is_file() else FAILED
