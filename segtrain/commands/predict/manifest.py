"""The table of what was predicted."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from segtrain.commands.predict.earlier import COLUMNS, FILES, Earlier, Target
from segtrain.files import write_whole

UNFINISHED = "the prediction was ended before this image was done"


class Manifest:
    """A row for each image: its path, width and height in pixels, its files below the output folder, separated by
    semicolons, the error where it was skipped, and `share_CLASS`: the share of the pixels that each class has.

    What earlier predictions wrote into the folder, and is still there, stays in the table: by it one knows which files
    may be written anew. Rows may be added from any thread; they are written in the order of `paths`, others behind
    them.
    """

    def __init__(self, names: Sequence[str], paths: Iterable[Path], targets: Sequence[Target], earlier: Earlier):
        self._header = [*COLUMNS, *(f"share_{name}" for name in names)]
        self._places = {str(path): place for place, path in enumerate(paths)}
        self._targets = targets
        self._earlier = earlier
        self._rows: list[list] = []

    def add(
        self, path: Path, size: tuple[int, int], files: Sequence[str], shares: np.ndarray, *, error: str = ""
    ) -> None:
        """An image of this size, (height, width), that was predicted, or a video, at least in part."""
        height, width = size
        self._rows.append([str(path), width, height, list(files), error, *(f"{share:.6g}" for share in shares)])

    def add_failure(self, path: Path, error: str) -> None:
        """An image that was skipped."""
        self._rows.append(self._row({"image": str(path), "error": error}, []))

    def begin(self) -> None:
        """Write the table with all files that are to be written, for the case that the process is killed. Raises
        DataError where that cannot be done."""
        self._write([self._unfinished(target, target.files) for target in self._targets])

    def write(self) -> None:
        """Write the table. Raises DataError where that cannot be done."""
        self._write(self._rows)

    def _row(self, values: dict[str, str], files: list[str]) -> list:
        return [files if place == FILES else values.get(name, "") for place, name in enumerate(self._header)]

    def _unfinished(self, target: Target, files: list[str]) -> list:
        return self._row({"image": str(target.path), "error": UNFINISHED}, files)

    def _left(self) -> Iterator[list]:
        """Rows of what may be there beside the files that were noted."""
        yield from (self._unfinished(target, target.files) for target in self._targets)
        yield from (self._row(row, row["files"].split(";")) for row in self._earlier.rows)

    def _write(self, rows: list[list]) -> None:
        rows = list(rows)
        latest = {row[0]: row for row in rows}
        known = {file for row in rows for file in row[FILES]}
        for row in self._left():
            row[FILES] = [
                file for file in row[FILES] if file not in known and os.path.isfile(self._earlier.folder / file)
            ]
            known.update(row[FILES])
            if row[0] in latest:
                latest[row[0]][FILES] += row[FILES]
            elif row[FILES]:
                rows.append(row)
                latest[row[0]] = row
        rows.sort(key=lambda row: self._places.get(row[0], len(self._places)))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self._header)
        table.writerows([*row[:FILES], ";".join(row[FILES]), *row[FILES + 1 :]] for row in rows)
        write_whole(self._earlier.path, text.getvalue())
