"""CSV: a table of image and mask paths."""

import csv
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from segtrain.errors import DataError
from segtrain.formats.lists import read_text, slashed, why_missing
from segtrain.formats.sample import (
    SPLIT_NAMES,
    Sample,
    SampleTable,
    Splits,
    hold_out,
    require_nearby_layout,
    require_own_mask,
)

DELIMITERS = ",;\t|"

csv.field_size_limit(1 << 30)  # the runs of a mask may be longer than the 128 KiB of the standard library


def read(
    root: Path,
    *,
    file: str = "data.csv",
    image_column: str = "image",
    mask_column: str = "mask",
    val_fold: int | None = None,
    group_column: str | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
    asked_splits: Sequence[str] = (),
    mask_band: int | None = None,
    problems: list[str] | None = None,
) -> Splits:
    """Read `root/file`, a CSV with a column of images, a column of masks, and optional columns split, fold and group.

    The delimiter (comma, semicolon, tab or bar) is detected from the header. Lines that start with # are comments.
    Paths are relative to the file; backslashes also separate folders. The column split contains train, val or test,
    other common words for these (Train, valid, dev, test2), or one of `asked_splits`. With `val_fold`, rows with that
    number in the column fold are for validation and the others for training. With neither, `val_fraction` of the rows
    (0.2 by default) is held out; if the column split has no val, `val_fraction` of train is held out if you write it.
    Rows with the same `group_column` (a patient, a drive) stay together in every split that is made here. Raises
    DataError for wrong columns, missing files, unknown splits, and an image as its own mask without a `mask_band`.
    """
    require_nearby_layout(root, [file])
    path = root / file
    header, rows = open_table(path, image_column, mask_column)
    last = "fold" if val_fold is not None else "split" if "split" in header else None
    columns = [image_column, mask_column, *filter(None, [group_column, last])]
    require_columns(path, header, columns)
    found, lines = [], {}
    for line, row in rows:
        try:
            cells = _used_cells(path, line, row, header, columns)
            word = _split_of(cells[-1], last, val_fold, asked_splits, f"{path}:{line}")
            sample = _require_sample(path, line, *cells[: 3 if group_column else 2], mask_band=mask_band)
            if (first := lines.setdefault(os.path.normpath(sample.name), line)) != line:
                raise DataError(f"{path}:{line}: image {sample.image} is already in line {first}")
        except DataError as error:
            if problems is None:
                raise
            problems.append(str(error))
        else:
            found.append((word, sample))
    if not found and not problems:
        raise DataError(f"{path}: has no rows below its header; lines that start with # are comments")
    splits = _by_word(path, found)
    if val_fold is not None:
        return {split: splits.get(split, SampleTable()) for split in ("train", "val")}
    return hold_out(splits, val_fraction, seed)


def open_table(path: Path, *wanted: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and line and cells of each row below that is neither empty nor a comment."""
    text = read_cells(path)
    headers, errors = [], []
    for delimiter in DELIMITERS:
        rows = read_rows(path, text, delimiter)
        # spreadsheets write `sep=;` above the header; a header may begin with #, the name of a column of numbers
        skipped = ("#", "sep=")
        try:
            header = next((row for _, row in rows if {*wanted} <= {*row} or not row[0].lower().startswith(skipped)), [])
        except DataError as error:  # of quotes, which another delimiter may put right
            errors.append(error)
            continue
        if {*wanted} <= {*header}:
            return header, ((line, row) for line, row in rows if not _is_comment(row, header, wanted[0], path))
        headers.append(header)
    if errors:
        raise errors[0]
    header = max(headers, key=len)
    if not header:
        raise DataError(f"{path}: is empty; expected a header with the columns {' and '.join(wanted)}")
    if any(os.path.isfile(path.parent / slashed(path.parent, cell)) for cell in header):
        raise DataError(f"{path}: has no header; write {','.join(wanted)} above its first row, {','.join(header)}")
    key, missing = next(item for item in zip(("image", "mask"), wanted, strict=True) if item[1] not in header)
    raise DataError(
        f"{path}: {describe_columns(missing, header)}; if one of these is meant, write data.{key}_column: NAME"
    )


def read_cells(path: Path) -> str:
    """The text of a table, without blanks behind cells in quotes. Raises DataError as read_text does."""
    return re.sub(rf'" +(?=[{DELIMITERS}\n]|\Z)', '"', read_text(path, "data.file"))


def read_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells, without the blanks around them, of each row that is not empty; a cell in quotes may have several
    lines."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: the row that starts here has unbalanced quotes: {error}") from error


def _is_comment(row: list[str], header: list[str], image_column: str, path: Path) -> bool:
    """Whether a row begins with #, and that not as the name of an image that is there."""
    is_image = header[0] == image_column and os.path.isfile(path.parent / row[0])
    return row[0].startswith("#") and not is_image


def describe_columns(name: str, header: list[str]) -> str:
    shown = ", ".join(column if column.isprintable() else ascii(column) for column in header)
    return f"no column '{name}'; it has: {shown}"


def require_columns(path: Path, header: list[str], columns: list[str]) -> None:
    for column in columns:
        if column not in header:
            raise DataError(f"{path}: {describe_columns(column, header)}")
        if header.count(column) > 1:
            raise DataError(f"{path}: has {header.count(column)} columns '{column}'; rename all but one")


def _require_fitting(path: Path, line: int, row: list[str], header: list[str], columns: list[str]) -> None:
    """Raises DataError for a row that is longer than the header. Empty cells at its end are no harm, unless image and
    mask are there one cell further too: then the header may lack the name of the first column."""
    if len(row) <= len(header):
        return
    further = [row[header.index(column) + 1] for column in columns[:2]]
    if any(row[len(header) :]) or all(
        cell and os.path.isfile(path.parent / slashed(path.parent, cell)) for cell in further
    ):
        raise DataError(
            f"{path}:{line}: has {len(row)} cells, but the header has {len(header)} columns; add the missing column "
            f"to the header, remove the extra cells, or quote cells that contain the delimiter"
        )


def _used_cells(path: Path, line: int, row: list[str], header: list[str], columns: list[str]) -> list[str]:
    """The cells in these columns. Raises DataError for a row that is too long, and for one of these cells that is empty
    or has several lines."""
    _require_fitting(path, line, row, header, columns)
    cells = dict(zip(header, row, strict=False))
    for column in columns:
        if not cells.get(column):
            raise DataError(f"{path}:{line}: column '{column}' is empty")
        if re.search(r"[\t\n]", cells[column]):
            raise DataError(
                f"{path}:{line}: column '{column}' contains a tab or a line break: {ascii(cells[column])[:80]}"
            )
    return [cells[column] for column in columns]


def _require_sample(
    path: Path, line: int, image: str, mask: str, group: str = "", *, mask_band: int | None = None
) -> Sample:
    image, mask = slashed(path.parent, image), slashed(path.parent, mask)
    files = [os.path.join(path.parent, file) for file in (image, mask)]
    for what, file in zip(("image", "mask"), files, strict=True):
        if not os.path.isfile(file):
            reason = why_missing(file, "paths are relative to the CSV file")
            raise DataError(f"{path}:{line}: {what} {file} does not exist; {reason}")
    sample = Sample(os.path.splitext(image)[0], *files, group)
    if mask_band is None:
        require_own_mask(sample, f"{path}:{line}")
    return sample


def _split_of(cell: str, column: str | None, val_fold: int | None, asked: Sequence[str], where: str) -> str:
    """The split of a row by the cell in its column split or fold; empty where it has none of both."""
    if column == "fold":
        return _held_out(cell, val_fold, where)
    return _require_split(cell, asked, where) if column else ""


def _held_out(cell: str, val_fold: int, where: str) -> str:
    try:
        fold = float(cell)  # spreadsheets write 1 as 1.0
    except ValueError:
        fold = math.nan
    if not fold.is_integer():
        raise DataError(f"{where}: column 'fold' contains '{cell}', not an integer")
    return "val" if fold == val_fold else "train"


def _by_word(path: Path, found: list[tuple[str, Sample]]) -> Splits:
    table, words = SampleTable(sample for _, sample in found), _usual_words(path, [word for word, _ in found])
    return {word: table.where(other == word for other in words) for word in dict.fromkeys(words)}


def _require_split(word: str, asked: Sequence[str], where: str) -> str:
    """A word of the column split. Raises DataError for one that means no split: its rows would not be used."""
    usual = word.casefold()
    if usual not in SPLIT_NAMES and "test" not in usual and usual not in [name.casefold() for name in asked]:
        raise DataError(
            f"{where}: column 'split' contains '{word}', which is not a known split; write {', '.join(SPLIT_NAMES)}, "
            f"or data.train_split: {word} to train on it"
        )
    return word


def _usual_words(path: Path, words: list[str]) -> list[str]:
    """Train, val and test for the words of a column that mean them. Raises DataError where two words mean the same."""
    meant = {word: SPLIT_NAMES.get(word.casefold(), word) for word in words}
    spelled: dict[str, str] = {}
    for word, split in meant.items():
        other = spelled.setdefault(split, word)
        if other.casefold() != word.casefold():
            raise DataError(f"{path}: column 'split' has both '{other}' and '{word}' for {split}; use only one of them")
    return [meant[word] for word in words]
