"""Exports in tables: a CSV of images and masks, or of run lengths, and the columns that hold them."""

import csv
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from segtrain.commands.check.export import Export, files_in, has_images
from segtrain.errors import DataError, count_of, name_some
from segtrain.formats.coco_geometry import lie_along_rows
from segtrain.formats.csv import open_table
from segtrain.formats.lists import slashed
from segtrain.formats.rle import RunsRow, find_header, list_images, read_table
from segtrain.formats.sample import SPLIT_NAMES
from segtrain.images.reading import image_size
from segtrain.images.rle import parse_runs

_IMAGE_COLUMN = re.compile(
    r"(image|img|picture|photo|input|file)s?([ _-]?(path|file|name|filename|file_name|id))?", re.I
)
_MASK_COLUMN = re.compile(
    r"(mask|label|annotation|segmentation|seg|gt|target)s?([ _-]?(path|file|name|filename|id))?", re.I
)
_LOOKED_AT = 20  # rows that are looked at
_MANIFEST = ["image", "width", "height", "files", "error"]  # the first columns of a prediction's manifest
_LISTED = 200  # rows of a manifest that are looked at


def find_table(folder: Path, files: Sequence[Path] | None = None) -> Export | None:
    """The table of masks in a folder, with the keys that read it. If there are several, it is the one with train in its
    name. Raises DataError if there are several of those and, if `files` are given, if none of them is a table of
    masks."""
    tables, problems = {}, []
    for path in files_in(folder, ".csv", ".tsv") if files is None else files:
        if re.search("submission|_classes", path.name, re.IGNORECASE):
            continue
        try:
            if found := _find_paths(folder, path) or _find_runs(folder, path):
                tables[path] = found
        except DataError as error:
            problems.append(error)
    if len(tables) > 1:
        tables = {path: found for path, found in tables.items() if "train" in path.stem.casefold()} or tables
    if len(tables) > 1:
        listed = name_some([str(path) for path in tables], most=6)
        raise DataError(f"{folder}: contains {len(tables)} tables of masks: {listed}; write the path of one of them")
    if not tables and files and problems:
        raise problems[0]
    return next(iter(tables.values()), None)


def _find_paths(folder: Path, path: Path) -> Export | None:
    """The keys for a table with a column of images and a column of masks, if their files exist."""
    _, header = find_header(path)
    images = [cell for cell in header if _IMAGE_COLUMN.fullmatch(cell)]
    masks = [cell for cell in header if _MASK_COLUMN.fullmatch(cell) and cell not in images]
    if len(images) != 1 or len(masks) != 1:
        return None
    _, rows = open_table(path, images[0], masks[0])
    rows = [dict(zip(header, cells, strict=False)) for _, cells in rows]
    cells = [row.get(column, "") for row in rows[:_LOOKED_AT] for column in (images[0], masks[0])]
    if not cells or not any((path.parent / slashed(path.parent, cell)).is_file() for cell in cells if cell):
        return None
    data = {"format": "csv", "root": str(path.parent), "file": path.name}
    for key, column, usual in (("image_column", images[0], "image"), ("mask_column", masks[0], "mask")):
        data |= {key: column} if column != usual else {}
    splits = {SPLIT_NAMES.get(row.get("split", "").casefold()) for row in rows}
    return Export("CSV", data, has_val={"train", "val"} <= splits)


def _find_runs(folder: Path, path: Path) -> Export | None:
    """The keys for a table of run lengths and the folder of its images."""
    rows = read_table(path, None, None, None)
    if not any(re.match(r"\d+ \d+( |$)", row.runs) for row in rows):
        first = next((row for row in rows if row.runs), None)
        if first is None:
            return None
        what = "neither the path of an existing mask nor starts and lengths like 1 3 10 5"
        raise DataError(f"{path}:{first.line}: {first.runs[:40]!r} is {what}; write one of them")
    images = _find_images(folder, path, rows)
    data: dict[str, Any] = {"format": "rle", "root": str(folder), "file": path.relative_to(folder).as_posix()}
    data["images"] = images.relative_to(folder).as_posix()
    there, notes = list_images(images), []
    if _go_along_rows(images, there, rows):
        data["order"] = "rows"
        notes = ["run lengths are counted along rows, not down columns; see data.order"]
    without = len(set(there.values()) - {there.get(row.image) for row in rows})
    if not without:
        return Export("run lengths", data, notes)
    data["without_row"] = "background"
    note = (
        f"taken as background: {count_of(without, 'image')} without a row in {path}; write without_row: skip to leave "
        "them out"
    )
    return Export("run lengths", data, [*notes, note])


def _go_along_rows(images: Path, there: dict[str, str], rows: Sequence[RunsRow]) -> bool:
    """Whether most masks are connected if runs are counted along rows, but not if they are counted down columns."""
    votes = []
    for row in (row for row in rows if row.runs and row.image in there):
        try:
            height, width = image_size(f"{images}/{there[row.image]}")
            runs = parse_runs(row.runs, height, width)
        except (DataError, ValueError):  # reported when the mask is read
            continue
        votes.append(lie_along_rows(runs, height, width))
        if len(votes) == _LOOKED_AT:
            break
    return 2 * sum(votes) > len(votes)


def _find_images(folder: Path, path: Path, rows: Sequence[RunsRow]) -> Path:
    names = [*dict.fromkeys(row.image for row in rows[:_LOOKED_AT])]
    inside = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    places = [place for place in inside if has_images(place)]
    for place in (*sorted(places, key=lambda place: "train" not in place.name), folder):
        there = list_images(place)
        if any(name in there for name in names):
            return place
    raise DataError(
        f"{path}: its images are not below {folder}: {name_some(names)}; move the table next to its image folder"
    )


def find_predicted(annotations: Path, names: Sequence[str]) -> Path | None:
    """The folder of the images for which predict.py wrote these annotations, from the manifest.csv in the same folder;
    None if there is no manifest. Raises DataError if its images do not exist, since the images next to it are
    predictions."""
    manifest = annotations.with_name("manifest.csv")
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if (table.fieldnames or [])[: len(_MANIFEST)] != _MANIFEST:
                return None
            images = [Path(row["image"]) for row in islice(table, _LISTED)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    for name in names:
        parts = Path(name).parts
        for image in images:
            if image.parts[-len(parts) :] == parts and image.is_file():
                return Path(*image.parts[: -len(parts)])
    advice = f"add their folder: python -m segtrain init {quote(str(annotations))} IMAGES"
    raise DataError(f"{annotations}: the images listed in {manifest} do not exist; {advice}")
