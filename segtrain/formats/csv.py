"""CSV: a table of image and mask paths."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable, Splits, require_nearby_layout, require_path, split_by_fraction

if TYPE_CHECKING:
    import pandas


def read(
    root: Path,
    *,
    file: str = "data.csv",
    val_fold: int | None = None,
    group_column: str | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    problems: list[str] | None = None,
) -> Splits:
    """Read `root/file`, a CSV with the columns image and mask and optionally split, fold and one of groups.

    Paths are relative to the file. `split` holds train, val, ... for each row. With `val_fold`, rows whose column fold
    is that number are for validation and the others for training. With neither, `val_fraction` of the rows is held
    out. Rows with the same `group_column` (a patient, a drive) stay together in every split that is cut here. Raises
    DataError for missing columns, empty cells and files that are not there.
    """
    require_nearby_layout(root, [file])
    path = require_path(root / file, "data.file")
    table = _read_table(path)
    columns = ["image", "mask", *([group_column] if group_column else [])]
    by_split = val_fold is None and "split" in table.columns
    columns += ["fold"] if val_fold is not None else ["split"] if by_split else []
    for column in columns:
        if column not in table.columns:
            raise DataError(f"{path}: no column '{column}'; it has: {', '.join(table.columns)}")
    wrong = dict(_find_problems(table[columns], path))
    if wrong and problems is None:
        raise DataError(next(iter(wrong.values())))
    if problems is not None:
        problems += wrong.values()
    table = table[[line not in wrong for line in table.index]]
    groups = table[group_column].astype(str) if group_column else [""] * len(table)
    samples = SampleTable(
        Sample(os.path.splitext(image)[0], os.path.join(path.parent, image), os.path.join(path.parent, mask), group)
        for image, mask, group in zip(table["image"].astype(str), table["mask"].astype(str), groups, strict=True)
    )
    if by_split:
        words = table["split"].astype(str).str.strip()
        return {str(word): samples.where(words == word) for word in words.unique()}
    if val_fold is not None:
        held_out = table["fold"] == val_fold
        return {"train": samples.where(~held_out), "val": samples.where(held_out)}
    return split_by_fraction(samples, val_fraction, seed)


def _read_table(path: Path) -> "pandas.DataFrame":
    """The rows that are not empty; their index is the line in the file."""
    import pandas

    options = {"skipinitialspace": True, "keep_default_na": False, "na_values": [""], "skip_blank_lines": False}
    try:
        table = pandas.read_csv(path, **options)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a CSV file: {' '.join(str(error).split())}") from error
    table.columns = [str(column).strip() for column in table.columns]
    table.index += 2
    return table.dropna(how="all")


def _find_problems(table: "pandas.DataFrame", path: Path) -> Iterator[tuple[int, str]]:
    """(line, what is wrong with it) of each line with an empty cell, a file that is not there or an image that another
    line has."""
    seen: dict[str, int] = {}
    empty = table.isna().to_numpy()
    for line, image, mask, gaps in zip(table.index, table["image"], table["mask"], empty, strict=True):
        if gaps.any():
            yield line, f"{path}:{line}: column '{table.columns[gaps.argmax()]}' is empty"
            continue
        files = {"image": os.path.join(path.parent, str(image)), "mask": os.path.join(path.parent, str(mask))}
        missing = [f"{column} {file}" for column, file in files.items() if not os.path.isfile(file)]
        name = os.path.splitext(str(image))[0]
        if missing:
            yield line, f"{path}:{line}: {missing[0]} does not exist; paths are relative to the CSV file"
        elif name in seen:
            yield line, f"{path}:{line}: image {files['image']} stands in line {seen[name]} already"
        else:
            seen[name] = line
