"""A table of image and mask paths."""

from pathlib import Path

from segtrain.data.sample import Sample, Splits, require_path, split_by_fraction
from segtrain.errors import DataError

CLASSES = None
IGNORE_VALUES = ()


def read(
    root: Path, *, file: str = "data.csv", fold: int | None = None, val_fraction: float = 0.2, seed: int = 0
) -> Splits:
    """Read `root/file`, a CSV with the columns image and mask and optionally split and fold.

    Paths are relative to the file. `split` holds train, val, ... for each row. With `fold`, rows whose column fold is
    that number are for validation and the others for training. With neither, `val_fraction` of the rows is held out.
    Raises DataError for missing columns, empty cells and files that are not there.
    """
    import pandas

    path = require_path(root / file, "data.file")
    try:
        table = pandas.read_csv(path, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a CSV file: {error}") from error
    table.columns = [str(column).strip() for column in table.columns]
    for column in ("image", "mask"):
        if column not in table.columns:
            raise DataError(f"{path}: no column '{column}'; it has: {', '.join(table.columns)}")
        empty = table.index[table[column].isna()]
        if len(empty):
            raise DataError(f"{path}:{empty[0] + 2}: column '{column}' is empty")
    samples = [
        Sample(_name(image), str(path.parent / str(image)), str(path.parent / str(mask)))
        for image, mask in zip(table["image"], table["mask"], strict=True)
    ]
    _check_files(samples, path)
    if fold is not None:
        if "fold" not in table.columns:
            raise DataError(
                f"{path}: data.fold is {fold}, but there is no column 'fold'; it has: {', '.join(table.columns)}"
            )
        held_out = (table["fold"] == fold).tolist()
        return {"train": _where(samples, [not held for held in held_out]), "val": _where(samples, held_out)}
    if "split" in table.columns:
        words = table["split"].astype(str).str.strip()
        return {str(word): _where(samples, (words == word).tolist()) for word in words.unique()}
    return split_by_fraction(samples, val_fraction, seed)


def _name(image: str) -> str:
    return Path(str(image)).with_suffix("").as_posix()


def _where(samples: list[Sample], chosen: list[bool]) -> list[Sample]:
    return [sample for sample, keep in zip(samples, chosen, strict=True) if keep]


def _check_files(samples: list[Sample], path: Path) -> None:
    seen: dict[str, int] = {}
    for line, sample in enumerate(samples, start=2):
        for column, file in (("image", sample.image), ("mask", sample.mask)):
            if not Path(file).is_file():
                raise DataError(f"{path}:{line}: {column} {file} does not exist; paths are relative to the CSV file")
        if sample.image in seen:
            raise DataError(f"{path}:{line}: image {sample.image} stands in line {seen[sample.image]} already")
        seen[sample.image] = line
