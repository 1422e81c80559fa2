"""What earlier predictions left in an output folder, as manifest.csv has it."""

import csv
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from segtrain.errors import DataError

MANIFEST = "manifest.csv"
COLUMNS = ["image", "width", "height", "files", "error"]  # and a share for each class
FILES = COLUMNS.index("files")


class Target(NamedTuple):
    """What is to be written for `path`: `name`, below the output folder, with each of `suffixes`."""

    path: Path
    name: Path
    suffixes: Sequence[str]

    @property
    def files(self) -> list[str]:
        """Names below the output folder."""
        return [f"{self.name.as_posix()}{suffix}" for suffix in self.suffixes]


class Earlier:
    """The manifest of a folder. `known` is False where there is none, or another table of that name; `rows` are its
    rows, column -> text."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / MANIFEST
        self.known = False
        self.rows: list[dict[str, str]] = []
        try:
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                header, *rows = csv.reader(file)
        except (OSError, ValueError, csv.Error):
            return
        if header[: len(COLUMNS)] == COLUMNS:
            self.known = True
            self.rows = [dict(zip(header, row, strict=False)) for row in rows if len(row) > FILES]

    @cached_property
    def _files(self) -> set[str]:
        return {file for row in self.rows for file in row["files"].split(";")}

    def wrote(self, file: str) -> bool:
        """Whether a prediction wrote the file of this name below the folder."""
        return file in self._files or (";" in file and any(file in row["files"] for row in self.rows))

    def refuse_others(self, targets: Iterable[Target], tables: Sequence[str]) -> None:
        """Raises DataError where a target, or one of `tables`, or the manifest, is a file that no prediction wrote."""
        if not self.folder.is_dir():
            return
        if self.path.is_file() and not self.known:
            raise DataError(f"{self.path}: is another table than the one to be written; write -o another folder")
        files = (file for target in targets for file in target.files if not self.wrote(file))
        for file in (*files, *(() if self.known else tables)):
            if os.path.isfile(self.folder / file):  # unlike is_file, not upset by a name that is too long
                why = f"is there already, and no prediction that {self.path} knows of wrote it"
                raise DataError(f"{self.folder / file}: {why}; delete it or write -o another folder")
