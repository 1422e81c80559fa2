"""A table of image and mask paths."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segtrain.errors import DataError
from segtrain.formats.dataset_info import Labels
from segtrain.formats.sample import Sample, SampleTable, Splits, require_nearby_layout, require_path, split_by_fraction

if TYPE_CHECKING:
    import pandas

ABOUT = None


def labels(arguments: Mapping[str, Any]) -> Labels | None:
    """The user's own."""
    return None


def read(
    root: Path,
    *,
    file: str = "data.csv",
    val_fold: int | None = None,
    group_column: str | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
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
    also = [group_column] if group_column else []
    for column in ["image", "mask", *also, *(["split"] if "split" in table.columns and val_fold is None else [])]:
        _require_column(table, column, path)
        empty = table.index[table[column].isna()]
        if len(empty):
            raise DataError(f"{path}:{empty[0]}: column '{column}' is empty")
    groups = table[group_column].astype(str) if group_column else [""] * len(table)
    folder = str(path.parent)
    samples = SampleTable(
        Sample(
            os.path.splitext(str(image))[0], os.path.join(folder, str(image)), os.path.join(folder, str(mask)), group
        )
        for image, mask, group in zip(table["image"], table["mask"], groups, strict=True)
    )
    _check_files(samples, table.index.tolist(), path)
    if val_fold is not None:
        _require_column(table, "fold", path)
        held_out = (table["fold"] == val_fold).tolist()
        return {"train": _where(samples, [not held for held in held_out]), "val": _where(samples, held_out)}
    if "split" in table.columns:
        words = table["split"].astype(str).str.strip()
        return {str(word): _where(samples, (words == word).tolist()) for word in words.unique()}
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


def _require_column(table: "pandas.DataFrame", column: str, path: Path) -> None:
    if column not in table.columns:
        raise DataError(f"{path}: no column '{column}'; it has: {', '.join(table.columns)}")


def _where(samples: SampleTable, chosen: list[bool]) -> SampleTable:
    return samples.take(place for place, keep in enumerate(chosen) if keep)


def _check_files(samples: SampleTable, lines: list[int], path: Path) -> None:
    seen: dict[str, int] = {}
    for line, sample in zip(lines, samples, strict=True):
        for column, file in (("image", sample.image), ("mask", sample.mask)):
            if not os.path.isfile(file):
                raise DataError(f"{path}:{line}: {column} {file} does not exist; paths are relative to the CSV file")
        if sample.name in seen:
            raise DataError(f"{path}:{line}: image {sample.image} stands in line {seen[sample.name]} already")
        seen[sample.name] = line
