"""Manifest of an output folder: what was predicted, and which files may be overwritten."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segtrain.commands.predict.outputs import Target
from segtrain.errors import DataError, name_some
from segtrain.files import write_whole

MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = ["image", "width", "height", "files", "error"]  # and a share for each class
UNFINISHED = "the prediction was ended before this image was done"


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Rows of the manifest in an output folder, column -> text, but `files` a list; none where the folder is new or
    empty. Raises DataError for a folder that holds other files."""
    path = folder / MANIFEST
    header, rows = [], []
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
    except (FileNotFoundError, NotADirectoryError):
        others = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
        if others := [name for name in others if not name.startswith(".")]:
            reason = f"it holds {name_some(others)}, but no {MANIFEST} of an earlier prediction"
            raise DataError(f"{folder}: cannot be the output folder, {reason}; write -o another folder") from None
        return []
    except (OSError, ValueError, csv.Error):
        pass  # the header is not ours
    if header[: len(MANIFEST_COLUMNS)] != MANIFEST_COLUMNS:
        raise DataError(f"{path}: is not the manifest of a prediction; write -o another folder")
    named = [dict(zip(header, row, strict=False)) for row in rows if len(row) >= len(MANIFEST_COLUMNS)]
    return [{**row, "files": row["files"].split(";") if row["files"] else []} for row in named]


class Manifest:
    """A row for each image: its path, width and height in pixels, its files below the output folder, separated by
    semicolons, the error where it was skipped, and `share_CLASS`: the share of the pixels that each class has.

    Files of earlier predictions that are not written again stay in the table, so that they may be overwritten later.
    Rows may be added from any thread; they are written in the order of `paths`, others behind them. Raises DataError
    where one of `targets` is a file that no prediction wrote.
    """

    def __init__(self, folder: Path, names: Sequence[str], paths: Iterable[Path], targets: Sequence[Target]):
        self._folder = folder
        self._header = [*MANIFEST_COLUMNS, *(f"share_{name}" for name in names)]
        self._order = {str(path): index for index, path in enumerate(paths)}
        self._targets = targets
        self._earlier = read_manifest(folder)
        self._rows: list[dict[str, Any]] = []
        known = {file for row in self._earlier for file in row["files"]}
        for file in (file for target in targets for file in target.files):
            # A name with a semicolon is several in the table. isfile, unlike is_file, takes names that are too long.
            if not known.issuperset(file.split(";")) and os.path.isfile(folder / file):
                why = f"exists already, and {folder / MANIFEST} does not list it"
                raise DataError(f"{folder / file}: {why}; delete it or write -o another folder")

    def add(
        self, path: Path, size: tuple[int, int], files: Sequence[str], shares: Iterable[float], *, error: str = ""
    ) -> None:
        """Add an image of this size, (height, width), that was predicted, or a video, at least in part."""
        values = [str(path), size[1], size[0], list(files), error, *(f"{share:.6g}" for share in shares)]
        self._rows.append(dict(zip(self._header, values, strict=True)))

    def add_failure(self, path: Path, error: str) -> None:
        """Add an image that was skipped."""
        self._rows.append({"image": str(path), "files": [], "error": error})

    def begin(self) -> None:
        """Write the table with all files that are to be written, for the case that the process is killed. Raises
        DataError where that cannot be done."""
        self._write([{"image": str(item.path), "files": item.files, "error": UNFINISHED} for item in self._targets])

    def write(self) -> None:
        """Write the table. Raises DataError where that cannot be done."""
        begun = []
        for item in self._targets:
            files = [file for file in item.files if os.path.isfile(self._folder / file)]
            begun.append({"image": str(item.path), "files": files, "error": UNFINISHED})
        self._write(begun)

    def _write(self, begun: list[dict[str, Any]]) -> None:
        rows = [*self._rows]
        latest = {row["image"]: row for row in rows}
        known = {part for row in rows for part in ";".join(row["files"]).split(";")}
        for row in (*begun, *self._earlier):
            files = [file for file in row["files"] if not known.issuperset(file.split(";"))]
            known.update(";".join(files).split(";"))
            if row["image"] in latest:
                latest[row["image"]]["files"] += files
            elif files:
                rows.append({**row, "files": files})
                latest[row["image"]] = rows[-1]
        rows.sort(key=lambda row: self._order.get(row["image"], len(self._order)))
        text = io.StringIO()
        table = csv.DictWriter(text, self._header, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "files": ";".join(row["files"])} for row in rows)
        write_whole(self._folder / MANIFEST, text.getvalue())
