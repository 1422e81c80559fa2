"""Split table: a CSV that says which split each sample is in, by the names of the samples."""

from pathlib import Path

from segtrain.errors import DataError, name_some
from segtrain.formats.csv import open_table, require_columns
from segtrain.formats.lists import require_distinct
from segtrain.formats.sample import SPLIT_NAMES, SampleTable, Splits

SPLIT_COLUMNS = ("split", "name", "group")
"""Those of a split table; the last is optional."""


def split_by_table(splits: Splits, path: Path) -> Splits:
    """The samples of all splits, in the splits that the table at `path` says; rows with another word than train, val
    and test make splits of that name. Samples that it does not have are an error, and so are names that two splits
    have. Raises DataError also for wrong columns."""
    header, rows = open_table(path, *SPLIT_COLUMNS[:2])
    columns = [column for column in SPLIT_COLUMNS if column in header]
    require_columns(path, header, columns)
    cells = {}
    listed = [(line, dict(zip(header, row, strict=False))) for line, row in rows]
    require_distinct(path, ((line, row["name"]) for line, row in listed))
    for _, row in listed:
        cells[row["name"]] = row.get("split", ""), row.get("group", "")
    samples = [sample for table in splits.values() for sample in table]
    names = {sample.name for sample in samples}
    if len(names) < len(samples):
        raise DataError(
            f"{path}: two splits of the data set have samples of the same names; data.split_table needs one"
        )
    for what, alone in (("samples", names - cells.keys()), ("rows", cells.keys() - names)):
        if alone:
            where = "are not in this table" if what == "samples" else "name no sample of the data set"
            raise DataError(f"{path}: {len(alone)} {what} {where}: {name_some(sorted(alone))}; run init again")
    found: dict[str, list] = {}
    for sample in samples:
        split, group = cells[sample.name]
        found.setdefault(SPLIT_NAMES.get(split.casefold(), split), []).append(
            sample._replace(group=group or sample.group)
        )
    return {split: SampleTable(own) for split, own in found.items()}
