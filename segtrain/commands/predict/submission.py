"""Submission: masks as `start length` pairs in a table, for competitions."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segtrain.commands.predict.polygons import classes_drawn
from segtrain.commands.predict.result import Result
from segtrain.errors import DataError, name_some
from segtrain.files import write_whole
from segtrain.formats.csv import read_rows
from segtrain.formats.lists import read_text
from segtrain.formats.sample import IMAGE_SUFFIXES
from segtrain.images import rle
from segtrain.inference.task import Task

RUNS = re.compile(r"\s*((\d+ \d+)( \d+ \d+)*|nan|)\s*", re.IGNORECASE)


class Sheet(NamedTuple):
    """A table of run lengths. In each row, the cell in `column` will be filled with the run lengths of the class
    `keys[i][1]` in the image `keys[i][0]`."""

    header: list[str] | None
    rows: list[list[str]]
    column: int
    delimiter: str
    keys: list[tuple[str, int]]


def plain_sheet(images: Sequence[str], task: Task) -> Sheet:
    """image,class,rle: a row for each class of each image; in a binary task, only for the foreground."""
    keys = [(image, index) for image in images for index in classes_drawn(task)]
    rows = [[image, task.names[index], ""] for image, index in keys]
    return Sheet(["image", "class", "rle"], rows, 2, ",", keys)


def read_sheet(path: Path, images: Sequence[str], task: Task) -> Sheet:
    """The sheet of a sample submission: its delimiter, its header, and its rows in their order.

    The column of run lengths is the one whose cells are all empty or `start length ..`. Another column names the image,
    with or without suffix and folder. The class is in a third column, or follows the image and `_`, as its name or its
    number: the value in an index PNG or, for overlapping classes, counting from 1. A single class can be omitted.

    Args:
        images: Result.file_name of all images that are predicted.

    Raises DataError for another kind of table, for a class that the model does not have, for an image that is not
    predicted, and for an image and class that occur twice.
    """
    delimiter, table = _read_table(path)
    has_header = not any(RUNS.fullmatch(table[0][column]) for column in _runs_columns(table[1:] or table))
    header, rows = (table[0], table[1:]) if has_header else (None, table)
    if not rows:
        raise DataError(f"{path}: has a header but no rows")
    columns = _runs_columns(rows)
    if len(columns) != 1:
        what = f"{len(columns)} of its {len(rows[0])} columns contain only run lengths ('1 5 20 3') or empty cells"
        raise DataError(f"{path}: {what}; exactly one must")
    if len(rows[0]) > 3:
        raise DataError(
            f"{path}: has {len(rows[0])} columns; at most three are supported: image, class and run lengths"
        )
    (column,) = columns
    names = [[*row[:column], *row[column + 1 :]] for row in rows]
    keys = _read_keys(path, names, _names_of(images), task)
    seen: dict[tuple[str, int], int] = {}
    for line, key in enumerate(keys, start=1 + has_header):
        if key in seen:
            raise DataError(f"{path}:{line}: has the same image and class as line {seen[key]}")
        seen[key] = line
    return Sheet(header, rows, column, delimiter, keys)


def _read_table(path: Path) -> tuple[str, list[list[str]]]:
    """The delimiter and the rows, all with the same number of cells."""
    text = read_text(path, "--rle-sample")
    delimiter = next((sign for sign in "\t,;" if sign in text.partition("\n")[0]), None)
    rows = [] if delimiter is None else list(read_rows(path, text, delimiter))
    if not rows:
        raise DataError(f"{path}: is not a table; its first line needs cells separated by tabs, commas or semicolons")
    (_, first), *others = rows
    for line, row in others:
        if len(row) != len(first):
            raise DataError(f"{path}:{line}: has {len(row)} cells, but the first line has {len(first)}")
    return delimiter, [row for _, row in rows]


def _runs_columns(rows: list[list[str]]) -> list[int]:
    return [column for column in range(len(rows[0])) if all(RUNS.fullmatch(row[column]) for row in rows)]


def _names_of(images: Sequence[str]) -> dict[str, str]:
    """Maps names that a sample may use to images: with or without suffix and folder. If names clash, the longer form
    wins; a name that two images share in the same form maps to ""."""
    paths = [PurePosixPath(image) for image in images]
    owners: dict[str, str] = {}
    for names in (
        images,
        [path.with_suffix("").as_posix() for path in paths],
        [path.name for path in paths],
        [path.stem for path in paths],
    ):
        counts = Counter(names)
        owners = {name: image if counts[name] == 1 else "" for name, image in zip(names, images, strict=True)} | owners
    return owners


def _find(owners: dict[str, str], name: str) -> str:
    """The image with this name, which may have another suffix in the sample; empty if there is none."""
    path = PurePosixPath(name)
    stem = path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else name
    return owners[name] if name in owners else owners.get(stem, "")


def _read_keys(path: Path, names: list[list[str]], owners: dict[str, str], task: Task) -> list[tuple[str, int]]:
    """The image and class of each row, from its one or two cells other than the run lengths."""
    shift = len(task.picture_names) - len(task.names)  # for overlapping classes, 0 is none of them
    classes = {str(index + shift): index for index in range(len(task.names))}
    classes |= {name: index for index, name in enumerate(task.names)}
    if len(names[0]) == 2:
        fitting = [sum(row[column] in classes for row in names) for column in (0, 1)]
        column = int(fitting[1] >= fitting[0])
        if unknown := list(dict.fromkeys(row[column] for row in names if row[column] not in classes)):
            known = name_some(list(classes), most=40)
            raise DataError(f"{path}: the model does not have the classes {name_some(unknown)}; it has {known}")
        pairs = [(row[1 - column], classes[row[column]]) for row in names]
    else:
        pairs = [_split_name(name, owners, classes) for (name,) in names]
    if missing := list(dict.fromkeys(name for name, _ in pairs if not _find(owners, name))):
        raise DataError(f"{path}: names images that are not among those to predict: {name_some(missing)}")
    drawn = list(classes_drawn(task))
    without = next((name for name, index in pairs if index is None), None)
    if without is not None and len(drawn) > 1:
        raise DataError(f"{path}: '{without}' names an image but no class; the model has {', '.join(task.names)}")
    return [(_find(owners, name), drawn[0] if index is None else index) for name, index in pairs]


def _split_name(name: str, owners: dict[str, str], classes: dict[str, int]) -> tuple[str, int | None]:
    """The image and class in IMAGE_CLASS; the whole name and no class if it is that of an image, or unknown."""
    if not _find(owners, name):
        for word, index in classes.items():
            image = name.removesuffix(f"_{word}")
            if image != name and _find(owners, image):
                return image, index
    return name, None


class Submission:
    """The run lengths of all images, written in the order of a sheet. Rows of skipped images stay empty."""

    def __init__(self, path: Path, sheet: Sheet):
        self.path = path
        self.files = (path.name,)
        self._sheet = sheet
        self._runs: dict[tuple[str, int], str] = {}
        self._wanted: dict[str, list[int]] = {}
        for image, index in sheet.keys:
            self._wanted.setdefault(image, []).append(index)

    def take(self, result: Result) -> dict[tuple[str, int], str]:
        """The run lengths of an image, for each class that the sheet has. May be called from any thread."""
        layers = {index: result.layer(index) for index in self._wanted.get(result.file_name, ())}
        return {(result.file_name, index): rle.encode(layer) for index, layer in layers.items()}

    def add(self, taken: dict[tuple[str, int], str]) -> None:
        """Add what `take` returned."""
        self._runs |= taken

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the table when the block ends without an error. Raises DataError if it cannot be written."""
        yield
        text = io.StringIO()
        table = csv.writer(text, delimiter=self._sheet.delimiter, lineterminator="\n")
        if self._sheet.header:
            table.writerow(self._sheet.header)
        column = self._sheet.column
        for key, row in zip(self._sheet.keys, self._sheet.rows, strict=True):
            table.writerow([*row[:column], self._runs.get(key, ""), *row[column + 1 :]])
        write_whole(self.path, text.getvalue())
