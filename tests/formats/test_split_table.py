import pytest

from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable
from segtrain.formats.split_table import split_by_table

SPLITS = {
    "train": SampleTable([Sample("a", "a.jpg", "x\t1"), Sample("d/b", "b.jpg", "x\t2")]),
    "val": SampleTable([Sample("#c", "c.jpg", "x\t3", "drive")]),
}


def split(tmp_path, *rows, splits=SPLITS):
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    found = split_by_table(splits, tmp_path / "t.csv")
    return {name: [(sample.name, sample.group) for sample in table] for name, table in found.items()}


def test_splits_and_groups_are_those_of_the_table(tmp_path):
    rows = ["name,split,group", "a,val,1", "d/b,Train,1", "#c,extra,"]
    assert split(tmp_path, *rows) == {"val": [("a", "1")], "train": [("d/b", "1")], "extra": [("#c", "drive")]}
    assert split(tmp_path, "split;name", "train;a", "test;d/b", "train;#c") == {
        "train": [("a", ""), ("#c", "drive")],
        "test": [("d/b", "")],
    }


MISTAKES = {
    "a sample that is missing": (
        ["name,split", "a,train", "d/b,val"],
        "1 samples are not in this table: #c; run init again",
    ),
    "a row too many": (
        ["name,split", "a,train", "d/b,val", "#c,val", "e,val"],
        "1 rows match no sample of the dataset: e; run init again",
    ),
    "no column": (
        ["name,fold", "a,1"],
        "no column 'split'; it has: name, fold; a split table has columns name, split and group",
    ),
    "nothing": ([""], "no column 'name'; it has: ; a split table has columns name, split and group"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_tables_that_are_wrong(case, tmp_path):
    rows, message = MISTAKES[case]
    with pytest.raises(DataError) as error:
        split(tmp_path, *rows)
    assert str(error.value) == f"{tmp_path}/t.csv: {message}"


def test_a_name_in_two_splits_and_a_row_twice(tmp_path):
    twice = {"train": SPLITS["train"], "val": SPLITS["train"]}
    with pytest.raises(DataError, match="two splits of the dataset have samples of the same name"):
        split(tmp_path, "name,split", "a,train", "d/b,val", splits=twice)
    with pytest.raises(DataError, match=r"t\.csv:3: a is already in line 2"):
        split(tmp_path, "name,split", "a,train", "a,val", "d/b,val", "#c,val")
