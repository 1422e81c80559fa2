"""Tables of image and mask paths."""

import os

import pytest

from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.formats import csv
from tests.formats.format_reading import data_config
from tests.formats.format_trees import error_of, names, pairs, touch


@pytest.fixture
def root(tmp_path):
    """An empty folder `set` with a method to fill it with empty files: pairing opens none of them."""
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


@pytest.fixture
def table(root):
    """Write set/data.csv and the files a.png to d.png with masks in m/."""
    touch(root, *(f"{name}.png" for name in "abcd"), *(f"m/{name}.png" for name in "abcd"))

    def write(*lines, file="data.csv"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(lines) + "\n")

    return write


ROWS = ["a.png,m/a.png", "b.png,m/b.png", "c.png,m/c.png", "d.png,m/d.png"]


def test_a_table_with_splits(root, table):
    rows = [f"{row}, {split}" for row, split in zip(ROWS, ["train", "val", "train", "test"], strict=True)]
    table("image, mask, split, notes", *(f"{row},x" for row in rows))
    splits = csv.read(root)
    assert names(splits) == {"train": ["a", "c"], "val": ["b"], "test": ["d"]}
    assert splits["val"][0].image == str(root / "b.png") and splits["val"][0].mask == str(root / "m/b.png")


def test_a_table_with_folds(root, table):
    table(
        "mask,image,fold", *(f"m/{name}.png,{name}.png,{fold}" for name, fold in zip("abcd", [0, 1, 2, 1], strict=True))
    )
    assert names(csv.read(root, val_fold=1)) == {"train": ["a", "c"], "val": ["b", "d"]}
    assert names(csv.read(root, val_fold=0)) == {"train": ["b", "c", "d"], "val": ["a"]}


def test_a_table_of_pairs_alone(root, table):
    table("image,mask", *ROWS)
    splits = names(csv.read(root, val_fraction=0.25, seed=1))
    assert len(splits["val"]) == 1 and sorted(splits["train"] + splits["val"]) == list("abcd")
    assert names(csv.read(root, val_fraction=0.25, seed=1)) == splits


def test_paths_are_relative_to_the_table_or_absolute(root, table):
    table("image,mask", "../a.png,../m/a.png", f"{root}/b.png,{root}/m/b.png", file="lists/all.csv")
    samples = [sample for split in csv.read(root, file="lists/all.csv").values() for sample in split]
    assert sorted(str(sample.mask).removeprefix(f"{root}/") for sample in samples) == ["lists/../m/a.png", "m/b.png"]


CSV_MISTAKES = {
    "no mask column": (
        ["image,label", "a.png,m/a.png"],
        {},
        "R/data.csv: no column 'mask'; it has: image, label; if one of these is meant, write data.mask_column: NAME",
    ),
    "an empty cell": (["image,mask", *ROWS[:2], "c.png,"], {}, "R/data.csv:4: column 'mask' is empty"),
    "a file that is not there": (
        ["image,mask", ROWS[0], "b.png,m/x.png"],
        {},
        "R/data.csv:3: mask R/m/x.png does not exist; paths are relative to the CSV file",
    ),
    "an image twice": (
        ["image,mask", *ROWS[:2], ROWS[0]],
        {},
        "R/data.csv:4: image R/a.png is already in line 2",
    ),
    "no fold column": (
        ["image,mask", *ROWS],
        {"val_fold": 0},
        "R/data.csv: no column 'fold'; it has: image, mask",
    ),
    "nothing": ([""], {}, "R/data.csv: is empty; expected a header with the columns image and mask"),
    "another file": (["image,mask"], {"file": "x.csv"}, 
        "data.file: R/x.csv does not exist; R contains: a.png, b.png, c.png, d.png, data.csv, m",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV_MISTAKES)
def test_tables_that_are_wrong(case, root, table):
    lines, arguments, text = CSV_MISTAKES[case]
    table(*lines)
    assert error_of(csv.read, root, **arguments) == text


PLAIN = "image,mask\na.png,m/a.png\nb.png,m/b.png\n"
QUOTED = '"image";"mask"\n"a.png" ; "m/a.png" \n"b.png";"m/b.png" '
SAME_TABLES = {
    "a comment above the header": "# split of May, second try\n" + PLAIN,
    "comments between the rows": PLAIN.replace("b.png,", "#c.png,m/c.png\n# x,y,z,1\nb.png,"),
    "a comma behind each row": PLAIN.replace("a.png\n", "a.png,\n").replace("b.png\n", "b.png,,,\n"),
    "commas behind the header too": PLAIN.replace("\n", ",,\n"),
    "a comma behind each row of a wide table": "id,image,mask,split\n0,a.png,m/a.png,train,\n1,b.png,m/b.png,val,\n",
    "rows without the last columns": PLAIN.replace("mask\n", "mask,notes,date\n"),
    "a column of numbers called #": "#,image,mask\n1,a.png,m/a.png\n2,b.png,m/b.png\n",
    "empty lines": PLAIN.replace("\n", "\n\n , \n"),
    "blanks around the cells": "image , mask \na.png , m/a.png \nb.png\xa0, m/b.png\t\n",
    "semicolons": PLAIN.replace(",", ";"),
    "semicolons and commas in a cell": "image;mask;size, px\na.png;m/a.png;3\nb.png;m/b.png;3,4\n",
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "the delimiter of a spreadsheet": "sep=;\n" + PLAIN.replace(",", ";"),
    "quotes": QUOTED,
    "quotes around lines and delimiters": 'image,mask,n\na.png,m/a.png,"x, y\nz"\nb.png,m/b.png,5" wide\n',
    "Windows' line ends": PLAIN.replace("\n", "\r\n"),
    "line ends of old": PLAIN.replace("\n", "\r"),
    "the mark of UTF-8": "\ufeff" + PLAIN,
    "the mark of UTF-8 twice": "\ufeff\ufeff" + QUOTED,
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 of other machines": ("\ufeff" + PLAIN.replace(",", "\t")).encode("utf-16-be"),
    "backslashes": PLAIN.replace("m/", "m\\"),
    "doubled backslashes": PLAIN.replace("m/", "m\\\\"),
    "another name for the split": "image,mask,split\na.png,m/a.png,Train\nb.png,m/b.png, VALID \n",
}


@pytest.mark.parametrize("case", SAME_TABLES)
def test_tables_that_say_the_same(case, root, table):
    content = SAME_TABLES[case]
    (root / "data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = pairs(root, csv.read(root))
    assert len(found["train"]) == len(found["val"]) == 1
    assert found["train"] | found["val"] == {"a": ("a.png", "m/a.png"), "b": ("b.png", "m/b.png")}


UNREADABLE_TABLES = {
    "a row longer than the header": (
        PLAIN.replace("a.png\n", "a.png,x\n"),
        "R/data.csv:2: has 3 cells, but the header has 2 columns; add the missing column to the header, remove the "
        "extra cells, or quote cells that contain the delimiter",
    ),
    "a row that fits the header one cell further too": (
        "id,image,mask,old\n0,a.png,m/a.png,m/b.png,\n",
        "R/data.csv:2: has 5 cells, but the header has 4 columns; add the missing column to the header, remove the "
        "extra cells, or quote cells that contain the delimiter",
    ),
    "a row that ends before the mask": (
        "n,image,mask\n1,a.png\n2,b.png,m/b.png\n",
        "R/data.csv:2: column 'mask' is empty",
    ),
    "rows with another delimiter": (
        "image,mask\na.png;m/a.png\n",
        "R/data.csv:2: column 'mask' is empty",
    ),
    "a comment for a header": (
        "# " + PLAIN,
        "R/data.csv: has no header; write image,mask above its first row, a.png,m/a.png",
    ),
    "an invisible sign in the header": (
        PLAIN.replace("mask", "mask\u200b"),
        r"R/data.csv: no column 'mask'; it has: image, 'mask\u200b'; if one of these is meant, write "
        "data.mask_column: NAME",
    ),
    "an invisible sign in a path": (
        PLAIN.replace("a.png,", "\u202aa.png,"),
        "R/data.csv:2: image R/\u202aa.png does not exist; its name contains invisible characters: "
        r"'R/\u202aa.png'",
    ),
    "a column twice": (
        "image,mask,mask\na.png,m/a.png,m/b.png\n",
        "R/data.csv: has 2 columns 'mask'; rename all but one",
    ),
    "comments alone": ("# x\n# y\n", "R/data.csv: is empty; expected a header with the columns image and mask"),
    "a header alone": (
        "image,mask\n#a.png,m/a.png\n",
        "R/data.csv: has no rows below its header; lines that start with # are comments",
    ),
    "a NUL byte": (
        PLAIN.replace("b.png,", "b\0.png,"),
        r"R/data.csv:3: contains the control character '\x00'; expected a text file: save it as UTF-8",
    ),
    "a spreadsheet": (
        "PK\x03\x04",
        r"R/data.csv:1: contains the control character '\x03'; expected a text file: save it as UTF-8",
    ),
    "UTF-16 without its mark": (
        PLAIN.encode("utf-16-le"),
        r"R/data.csv:1: contains the control character '\x00'; expected a text file: save it as UTF-8",
    ),
    "half of UTF-16": (
        PLAIN.encode("utf-16")[:-1],
        "R/data.csv: is not valid UTF-16 text: 'utf-16-le' codec can't decode byte 0x0a in position 78: truncated data",
    ),
    "a line break in a path": (
        'image,mask,n\na.png,m/a.png,"1\n2"\nb.png,"m/b\n.png",\n',
        r"R/data.csv:4: column 'mask' contains a tab or a line break: 'm/b\n.png'",
    ),
    "a tab in a path": (
        'image,mask\na.png,"m/a\t.png"\n',
        r"R/data.csv:2: column 'mask' contains a tab or a line break: 'm/a\t.png'",
    ),
    "a quote that is not closed": (
        'image,mask,n\na.png,m/a.png,"x\nb.png,m/b.png,y\n',
        "R/data.csv:2: the row that starts here has unbalanced quotes: unexpected end of data",
    ),
    "a quote that another row closes": (
        'image,mask,n\na.png,m/a.png,"x\nb.png,m/b.png,"y\n',
        "R/data.csv:2: the row that starts here has unbalanced quotes: ',' expected after '\"'",
    ),
    "Latin-1": (
        PLAIN.encode().replace(b"a.png,", b"\xe4.png,"),
        "R/data.csv:2: image R/\udce4.png does not exist; its name is not in UTF-8; save the list as UTF-8",
    ),
    "a drive of Windows": (
        PLAIN.replace("m/a", r"C:\data\a"),
        "R/data.csv:2: mask R/C:/data/a.png does not exist; it starts with a Windows drive; write paths relative to "
        "the dataset",
    ),
    "one file by two paths": (
        PLAIN + ".\\a.png,m/c.png\n",
        "R/data.csv:4: image R/./a.png is already in line 2",
    ),
    "two words for a split": (
        "image,mask,split\na.png,m/a.png,train\nb.png,m/b.png,Dev\nc.png,m/c.png,val\n",
        "R/data.csv: column 'split' has both 'Dev' and 'val' for val; use only one of them",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE_TABLES)
def test_tables_that_cannot_be_read(case, root, table):
    content, text = UNREADABLE_TABLES[case]
    (root / "data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert error_of(csv.read, root) == text


def test_columns_of_other_names(root, table):
    table("File;Label", "a.png;m/a.png", "b.png;m/b.png")
    splits = csv.read(root, image_column="File", mask_column="Label")
    assert pairs(root, splits)["train"] | pairs(root, splits)["val"] == {
        "a": ("a.png", "m/a.png"),
        "b": ("b.png", "m/b.png"),
    }
    assert error_of(csv.read, root, image_column="File", mask_column="Mask") == (
        "R/data.csv: no column 'Mask'; it has: File, Label; if one of these is meant, write data.mask_column: NAME"
    )


def test_names_that_begin_with_a_hash_or_hold_backslashes_or_are_not_utf_8(root, table):
    touch(root, "#a.png", r"m\x.png", os.fsdecode(b"\xe4.png"))
    (root / "data.csv").write_bytes(b"image,mask\n#a.png,m/a.png\nb.png,m\\x.png\n\xe4.png,m/c.png\n")
    found = pairs(root, csv.read(root))
    assert found["train"] | found["val"] == {
        "#a": ("#a.png", "m/a.png"),
        "b": ("b.png", r"m\x.png"),
        "\udce4": ("\udce4.png", "m/c.png"),
    }


def test_words_for_splits_and_a_share_of_train(root, table):
    words = ["TRAIN", "training", "Test", "test-dev"]
    table("image,mask,split", *(f"{row},{word}" for row, word in zip(ROWS, words, strict=True)))
    assert (
        error_of(csv.read, root)
        == "R/data.csv: column 'split' has both 'TRAIN' and 'training' for train; use only one of them"
    )
    words[1] = " Train"
    table("image,mask,split", *(f"{row},{word}" for row, word in zip(ROWS, words, strict=True)))
    assert names(csv.read(root)) == {"train": ["a", "b"], "test": ["c"], "test-dev": ["d"]}
    splits = names(csv.read(root, val_fraction=0.5))
    assert sorted(splits["train"] + splits["val"]) == ["a", "b"] and splits["test"] == ["c"]


def test_folds_of_a_spreadsheet(root, table):
    table("image,mask,fold", *(f"{row},{fold}" for row, fold in zip(ROWS, ["0", "1.0", "2", " 1"], strict=True)))
    assert names(csv.read(root, val_fold=1)) == {"train": ["a", "c"], "val": ["b", "d"]}
    table("image,mask,fold", f"{ROWS[0]},1", f"{ROWS[1]},test")
    assert error_of(csv.read, root, val_fold=1) == "R/data.csv:3: column 'fold' contains 'test', not an integer"


def test_all_problems_of_a_table_for_a_report(root, table):
    table(
        "image,mask,split", *(f"{row},train" for row in ROWS[:2]), "x.png,m/x.png,val", "c.png,,val", f"{ROWS[0]},val"
    )
    problems = []
    assert names(csv.read(root, problems=problems)) == {"train": ["a", "b"]}
    assert [problem.replace(str(root), "R") for problem in problems] == [
        "R/data.csv:4: image R/x.png does not exist; paths are relative to the CSV file",
        "R/data.csv:5: column 'mask' is empty",
        "R/data.csv:6: image R/a.png is already in line 2",
    ]


KNOWN_WORDS = "train, training, val, valid, validation, dev, test, testing"


@pytest.mark.parametrize("word", ["learn", "trian", "Validierung", "0", "1.0", "trainval", "unused", "vla", "-", "?"])
def test_a_word_that_is_no_split(word, root, table):
    table("image,mask,split", f"{ROWS[0]},train", f"{ROWS[1]},val", f"{ROWS[2]},{word}")
    assert error_of(csv.read, root) == (
        f"R/data.csv:4: column 'split' contains '{word}', which is not a known split; write {KNOWN_WORDS}, or "
        f"data.train_split: {word} to train on it"
    )
    assert names(csv.read(root, asked_splits=(word, "val")))[word] == ["c"]


def test_a_split_of_ones_own_name_is_asked_for(root, table):
    table("image,mask,split", f"{ROWS[0]},Learn", f"{ROWS[1]},judge", f"{ROWS[2]},holdout_test")
    keys = {"format": "csv", "root": root, "classes": ["x", "y"]}
    asked = read_splits(data_config(**keys, train_split="Learn", val_split="judge"), seed=0)
    assert {split: [sample.name for sample in samples] for split, samples in asked.items() if samples} == {
        "Learn": ["a"], "judge": ["b"], "holdout_test": ["c"], "train": ["a"], "val": ["b"]
    }  # fmt: skip
    with pytest.raises(DataError, match=r"data.csv:2: column 'split' contains 'Learn'"):
        read_splits(data_config(**keys), seed=0)


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_an_image_that_is_its_own_mask(link, root, table):
    other = "a.png" if link is None else "m/link.png"
    if link is not None:
        getattr(root / other, link)(root / "a.png")
    table("image,mask", f"{ROWS[1]}", f"a.png,{other}")
    assert error_of(csv.read, root) == (
        "R/data.csv:3: image and mask are the same file, R/a.png; write the path of its mask, or data.mask_band if "
        "one of its bands is the mask"
    )
    splits = names(csv.read(root, mask_band=4, val_fraction=0.5))
    assert sorted(splits["train"] + splits["val"]) == ["a", "b"]
