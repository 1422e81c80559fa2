"""metrics.csv of a run."""

import csv
from pathlib import Path
from typing import Any

from segtrain.errors import CheckpointError
from segtrain.files import replacing


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
                f"{path}:{number}: not a row of epoch, step, ...; move the file away to resume without it"
            )
    return rows
