"""Run lengths in a table: masks as `start length start length ..`, as Kaggle's competitions have them."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from segtrain.errors import DataError, name_some
from segtrain.formats import polygons
from segtrain.formats.csv import DELIMITERS, describe_columns, read_cells, read_rows
from segtrain.formats.sample import IMAGE_SUFFIXES, Label, Sample, SampleTable, Splits, hold_out, require_layout

read_mask = polygons.read_mask

_IMAGE = re.compile(r"(image|img|file)[ _-]?(id|name)?s?|id|name", re.IGNORECASE)
_CLASS = re.compile(r"(class|label|category|defect|cell[ _-]?type|type)([ _-]?(id|name))?", re.IGNORECASE)
_RUNS = re.compile(
    r"(encoded[ _-]?pixels|rle|segmentation|runs?|mask([ _-]?rle)?|rle[ _-]?mask|annotation)", re.IGNORECASE
)
_BOTH = re.compile(r"(image|img)[ _-]?(id|name)?[ _-]?(class|label)[ _-]?(id|name)?", re.IGNORECASE)
_EMPTY = ("", "nan", "none", "null", "-1")


class RunsRow(NamedTuple):
    """A row: its line, the image as it is written, the class ("" where the table has none), and its runs, "" where
    there are none."""

    line: int
    image: str
    label: str
    runs: str


def read(
    root: Path,
    *,
    file: str = "train.csv",
    images: str = "train",
    image_column: str | None = None,
    class_column: str | None = None,
    runs_column: str | None = None,
    order: Literal["columns", "rows"] = "columns",
    overlaps: Literal["error", "later"] = "error",
    without_row: Literal["error", "background", "skip"] = "error",
    unlabeled: Literal["background", "ignore"] = "background",
    other_labels: Literal["error", "background", "ignore"] = "error",
    val_fraction: float | None = None,
    classes: Sequence[Any],
    seed: int = 0,
) -> Splits:
    """The images in the folder `images` and their masks in the table `file`, both below `root`: a row for each object,
    class or image, with run lengths as `start length start length ..`, counted from 1.

    Columns with common names are recognized: ImageId, id or image; ClassId, class or label; EncodedPixels, rle or
    segmentation; and ImageId_ClassId, which joins both with an underscore. For others, write `image_column`,
    `class_column` and `runs_column`. A table without a header has images and run lengths. Images may be written with or
    without their suffix. Without a column of classes there is one class. An empty cell, nan or -1 means no pixels.

    `order`: whether pixels are counted down the columns, as Kaggle says, or along the rows, as in some datasets
    (Sartorius, UW-Madison): `check` shows which. Several rows of a class are merged; pixels of two classes are an error
    or, with `overlaps: later`, belong to the later row. `without_row`: whether images that are not in the table are
    background or left out. `unlabeled`: whether pixels outside all runs are the class named background (0 in a binary
    task) or ignored. `other_labels`: what to do with classes of the table that none of `data.classes` claims.
    `val_fraction` (0.2 by default) of the images is held out for validation, chosen by name and seed.

    Raises DataError for missing columns, images that are missing or have no row, and invalid run lengths.
    """
    legend = polygons.read_legend(classes, unlabeled=unlabeled, other_labels=other_labels)
    require_layout(root, [images, file])
    path, folder = root / file, root / images
    rows = _with_classes(path, read_table(path, image_column, class_column, runs_column), classes, legend)
    found = _by_image(path, folder, rows)
    there = list_images(folder)
    without = sorted(set(there.values()) - found.keys())
    if without and without_row == "error":
        raise DataError(
            f"{path}: {len(without)} of the {len(set(there.values()))} images in {folder} have no row: "
            f"{name_some(without)}; write data.without_row: background if they contain nothing, or skip to leave "
            f"them out"
        )
    found |= {image: [] for image in without if without_row == "background"}
    return hold_out({"": _table(path, folder, found, legend, order, overlaps)}, val_fraction, seed)


def _with_classes(
    path: Path, rows: list[RunsRow], classes: Sequence[Any], legend: polygons.Legend
) -> Sequence[RunsRow]:
    """The rows, with the one class where the table names none. Raises DataError for classes that nothing claims."""
    if any(row.label for row in rows):
        if legend.other is None:
            polygons.refuse_unclaimed(path, _count(row for row in rows if row.label not in legend.values), legend)
        for row in rows:
            if row.runs and not row.label:
                raise DataError(
                    f"{path}:{row.line}: has run lengths for {row.image} but no class; add the class or remove the row"
                )
        return rows
    labels = [(item.labels or [item.name])[0] for item in classes if item.name != "background"]
    if len(labels) != 1:
        raise DataError(f"{path}: has no class column; write data.class_column, or only one class in data.classes")
    return [row._replace(label=labels[0]) for row in rows]


def find_labels(
    root: Path,
    *,
    file: str = "train.csv",
    image_column: str | None = None,
    class_column: str | None = None,
    runs_column: str | None = None,
) -> list[Label]:
    """The classes of the table in the order of their names, numbers by their value, with the number of rows that have
    runs; `object` where it has no column of classes. Raises DataError as read does."""
    rows = read_table(root / file, image_column, class_column, runs_column)
    counts = _count(rows) or Counter({"object": sum(bool(row.runs) for row in rows)})
    return [Label(name, counts[name]) for name in sorted(counts, key=lambda name: (len(name) * name.isdecimal(), name))]


def _count(rows: Iterable[RunsRow]) -> Counter[str]:
    return Counter(row.label for row in rows if row.runs and row.label)


def read_table(path: Path, *columns: str | None) -> list[RunsRow]:
    """The rows of a table; `columns` are the names of those of images, classes and runs, None for one that is to be
    found. Raises DataError where one is missing."""
    delimiter, header = find_header(path, columns)
    places, rows = find_columns(path, header, columns), []
    for number, (line, cells) in enumerate(read_rows(path, read_cells(path), delimiter)):
        if number == 0 and not is_headless(header):
            continue
        if len(cells) <= max(place for place in places if place is not None):
            text = f"has {len(cells)} of the {len(header)} cells of the header; is the file complete?"
            raise DataError(f"{path}:{line}: {text}")
        image, label, runs = ("" if place is None else cells[place] for place in places)
        if places[0] == places[1]:
            image, _, label = image.rpartition("_")
        if not image or (places[0] == places[1] and not label):
            raise DataError(
                f"{path}:{line}: column '{header[places[0]]}' contains '{cells[places[0]][:40]}', not an image"
            )
        rows.append(RunsRow(line, image, label.strip(), "" if runs.casefold() in _EMPTY else runs))
    if not rows:
        raise DataError(f"{path}: has no rows below its header")
    return rows


def find_header(path: Path, columns: Sequence[str | None] = ()) -> tuple[str, list[str]]:
    """The delimiter, and the cells of the first row: where most of the columns are known, or there are most of them."""

    def fit(header: list[str]) -> tuple[int, int]:
        known = sum(bool(cell in columns or _IMAGE.fullmatch(cell) or _RUNS.fullmatch(cell)) for cell in header)
        return known, min(len(header), 2)

    text, found, errors = read_cells(path), [], []
    for delimiter in DELIMITERS:
        try:
            found += [(delimiter, cells) for _, cells in islice(read_rows(path, text, delimiter), 1)]
        except DataError as error:  # of quotes, which another delimiter may put right
            errors.append(error)
    if not found:
        empty = DataError(f"{path}: is empty; expected a header like ImageId,ClassId,EncodedPixels")
        raise errors[0] if errors else empty
    return max(found, key=lambda item: fit(item[1]))


def is_headless(header: Sequence[str]) -> bool:
    """Whether the first row of a table names an image, and no columns."""
    return os.path.splitext(header[0])[1].lower() in IMAGE_SUFFIXES


def find_columns(path: Path, header: Sequence[str], columns: Sequence[str | None]) -> list[int | None]:
    """The indices of the columns of images, classes and runs; those of images and classes are one where it holds both.
    Raises DataError where images or runs have none."""
    if is_headless(header):
        return [0, None, 1]
    for key, name in zip(("image", "class", "runs"), columns, strict=True):
        if name is not None and name not in header:
            raise DataError(f"{path}: {describe_columns(name, header)}; write data.{key}_column: one of these")
    image, label, runs = (None if name is None else header.index(name) for name in columns)

    def find(pattern: re.Pattern[str], *taken: int | None) -> int | None:
        places = (place for place, cell in enumerate(header) if pattern.fullmatch(cell) and place not in taken)
        return next(places, None)

    if image is None and label is None:
        image = label = find(_BOTH)
    image = find(_IMAGE) if image is None else image
    runs = find(_RUNS, image) if runs is None else runs
    label = find(_CLASS, image, runs) if label is None else label
    for key, place, like in (("image", image, "ImageId"), ("runs", runs, "EncodedPixels")):
        if place is None:
            text = describe_columns(like, header)
            raise DataError(f"{path}: {text}; if one of these is meant, write data.{key}_column: NAME")
    return [image, label, runs]


def list_images(folder: Path) -> dict[str, str]:
    """The paths below a folder of its images, by their paths and names, with suffix and without; "" for a name that
    several have, unless it is the path of one."""
    found: dict[str, str] = {}
    paths: set[str] = set()
    for above, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix.lower() not in IMAGE_SUFFIXES or file.startswith("."):
                continue
            path = os.path.relpath(os.path.join(above, file), folder)
            for name in {path, file, os.path.splitext(path)[0], stem}:
                found[name] = path if found.get(name, path) == path else ""
                paths.add(path)
    return {name: path for name, path in found.items() if path} | {path: path for path in paths}


def _by_image(path: Path, folder: Path, rows: Sequence[RunsRow]) -> dict[str, list[RunsRow]]:
    there = list_images(folder)
    found: dict[str, list[RunsRow]] = {}
    missing = [row for row in rows if row.image not in there]
    if missing:
        names = list(dict.fromkeys(row.image for row in missing))
        total = len({row.image for row in rows})
        raise DataError(
            f"{path}:{missing[0].line}: {len(names)} of {total} images are not in {folder}, or their names are not "
            f"unique there: {name_some(names)}"
        )
    for row in rows:
        found.setdefault(there[row.image], []).append(row)
    return found


def _table(
    path: Path, folder: Path, found: dict[str, list[RunsRow]], legend: polygons.Legend, order: str, overlaps: str
) -> SampleTable:
    samples = []
    for image in sorted(found):
        objects = [
            (legend.values.get(row.label, legend.other), f"line {row.line} ({row.label})", outline)
            for row in found[image]
            if row.runs
            for outline in [{"runs": row.runs, "along": order}]
        ]
        mask = polygons.to_text(
            path,
            image=f"{folder}/{image}",
            size=None,
            outside=legend.outside,
            objects=objects,
            largest_first=False,
            apart=overlaps == "error",
        )
        samples.append(Sample(polygons.name_of(image), f"{folder}/{image}", mask))
    return SampleTable(samples)
