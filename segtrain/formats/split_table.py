"""Split table: a CSV that says which split each sample is in, by the names of the samples."""

from pathlib import Path

from segtrain.errors import DataError, name_some
from segtrain.formats.csv import DELIMITERS, describe_columns, read_cells, read_rows
from segtrain.formats.lists import require_distinct
from segtrain.formats.sample import SPLIT_NAMES, SampleTable, Splits


def split_by_table(splits: Splits, path: Path) -> Splits:
    """The samples of all splits, in the splits that the table at `path` says; rows with another word than train, val
    and test make splits of that name. Samples that it does not have are an error, and so are names that two splits
    have. Raises DataError also for columns that are missing."""
    listed = _read_table(path)
    require_distinct(path, ((line, row["name"]) for line, row in listed))
    cells = {row["name"]: (row.get("split", ""), row.get("group", "")) for _, row in listed}
    samples = [sample for table in splits.values() for sample in table]
    names = {sample.name for sample in samples}
    if len(names) < len(samples):
        raise DataError(
            f"{path}: two splits of the dataset have samples of the same name; data.split_table needs unique names"
        )
    for what, alone in (("samples", names - cells.keys()), ("rows", cells.keys() - names)):
        if alone:
            where = "are not in this table" if what == "samples" else "match no sample of the dataset"
            raise DataError(f"{path}: {len(alone)} {what} {where}: {name_some(sorted(alone))}; run init again")
    found: dict[str, list] = {}
    for sample in samples:
        split, group = cells[sample.name]
        found.setdefault(SPLIT_NAMES.get(split.casefold(), split), []).append(
            sample._replace(group=group or sample.group)
        )
    return {split: SampleTable(own) for split, own in found.items()}


def _read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line and cells, by their columns, of each row. A name may begin with #."""
    text, headers = read_cells(path), []
    for delimiter in DELIMITERS:
        rows = [(line, cells) for line, cells in read_rows(path, text, delimiter)]
        headers += [cells for _, cells in rows[:1]]
        if rows and {"name", "split"} <= {*rows[0][1]}:
            return [(line, dict(zip(rows[0][1], cells, strict=False))) for line, cells in rows[1:]]
    header = max(headers, key=len, default=[])
    missing = "split" if "name" in header else "name"
    raise DataError(f"{path}: {describe_columns(missing, header)}; a split table has columns name, split and group")
