"""The table of what was predicted."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from segtrain.prediction.files import write_whole

MANIFEST = "manifest.csv"


class Manifest:
    """A row for each image: its path, width and height in pixels, its files below the output folder, separated by
    semicolons, the error where it was skipped, and `share_CLASS`: the share of the pixels that each class has.

    Rows may be added from any thread; they are written in the order of `paths`, others behind them.
    """

    def __init__(self, names: Sequence[str], paths: Iterable[Path]):
        self._header = ["image", "width", "height", "files", "error", *(f"share_{name}" for name in names)]
        self._places = {path: place for place, path in enumerate(paths)}
        self._rows: list[list[object]] = []

    def add(
        self, path: Path, size: tuple[int, int], files: Sequence[str], shares: np.ndarray, *, error: str = ""
    ) -> None:
        """An image of this size, (height, width), that was predicted, or a video, at least in part."""
        height, width = size
        self._rows.append([path, width, height, ";".join(files), error, *(f"{share:.6g}" for share in shares)])

    def add_failure(self, path: Path, error: str) -> None:
        """An image that was skipped."""
        self._rows.append([path, "", "", "", error, *[""] * (len(self._header) - 5)])

    def write(self, folder: Path) -> None:
        """Write it into a folder. Raises DataError where that cannot be done."""
        text = io.StringIO()
        rows = sorted(self._rows, key=lambda row: self._places.get(row[0], len(self._places)))
        csv.writer(text, lineterminator="\n").writerows([self._header, *rows])
        write_whole(folder / MANIFEST, text.getvalue().encode("utf-8", "surrogateescape"))
