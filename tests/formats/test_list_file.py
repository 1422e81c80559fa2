"""Lists with an image and a mask a line."""

import os

import pytest

from segtrain.formats import list_file
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of, names, write_list

CLASSES = ["sky", "road"]


@pytest.fixture
def root(tmp_path):
    """The folder set with i/0.jpg to i/3.jpg and m/0.png to m/3.png, where all of mask N is class N % 2."""
    folder = tmp_path / "set"
    for number in range(4):
        draw_image(folder / f"i/{number}.jpg", [[0, 0]])
        draw(folder / f"m/{number}.png", [[number % 2, 255]])
    return folder


def write(root, **lists):
    for name, lines in lists.items():
        write_list(root / f"{name}.txt", *lines)


SIGNS = {"a space": " ", "spaces": "   ", "a tab": "\t", "a comma": ",", "a comma and a space": ", "}


@pytest.mark.parametrize("sign", SIGNS)
def test_what_parts_image_and_mask(sign, root):
    write(root, train=[f"i/{n}.jpg{SIGNS[sign]}m/{n}.png" for n in (2, 1)], val=[f"i/3.jpg{SIGNS[sign]}m/3.png"])
    assert decoded(root, "list", classes=CLASSES) == {
        "train": {"i/2": [[0, 255]], "i/1": [[1, 255]]},
        "val": {"i/3": [[1, 255]]},
    }


@pytest.mark.parametrize("sign", ["\t", ","])
def test_paths_with_spaces(sign, root):
    draw_image(root / "my images/a b.jpg", [[0]])
    draw(root / "my masks/a b.png", [[1]])
    write(root, train=[f"my images/a b.jpg{sign}my masks/a b.png"], val=[f"i/0.jpg{sign}m/0.png"])
    assert decoded(root, "list", classes=CLASSES)["train"] == {"my images/a b": [[1]]}


def test_absolute_paths_empty_lines_and_other_line_ends(root):
    (root / "train.txt").write_bytes(f"{root}/i/0.jpg {root}/m/0.png\r\n\r\ni/1.jpg m/1.png".encode())
    write(root, val=["i/2.jpg m/2.png"])
    assert decoded(root, "list", classes=CLASSES)["train"] == {f"{root}/i/0": [[0, 255]], "i/1": [[1, 255]]}


def test_other_lists(root):
    write(root, **{"lists/all": ["i/0.jpg m/0.png", "i/1.jpg m/1.png"], "lists/valid": ["i/2.jpg m/2.png"]})
    files = {"train": "lists/all.txt", "val": "lists/valid.txt"}
    assert names(list_file.read(root, files=files)) == {"train": ["i/0", "i/1"], "val": ["i/2"]}


def test_a_test_list_is_read_where_it_is_there(root):
    write(root, train=["i/0.jpg m/0.png"], val=["i/1.jpg m/1.png"], test=["i/2.jpg m/2.png"])
    assert names(list_file.read(root)) == {"train": ["i/0"], "val": ["i/1"], "test": ["i/2"]}


def test_a_share_of_the_training_list_for_validation(root):
    write(root, train=[f"i/{n}.jpg m/{n}.png" for n in range(3)], test=["i/3.jpg m/3.png"])
    splits = names(list_file.read(root, val_fraction=0.34, seed=1))
    assert len(splits["val"]) == 1 and sorted(splits["train"] + splits["val"]) == ["i/0", "i/1", "i/2"]
    assert splits["test"] == ["i/3"]
    assert names(list_file.read(root, val_fraction=0.34, seed=1)) == splits


@pytest.mark.parametrize("sign", [" ", "\t", ", "])
def test_backslashes_and_blanks_behind(sign, root):
    write(root, train=[f"i\\0.jpg{sign}m\\\\0.png  "], val=[f".\\i\\1.jpg{sign}m/1.png\t"])
    assert decoded(root, "list", classes=CLASSES) == {"train": {"i/0": [[0, 255]]}, "val": {"./i/1": [[1, 255]]}}


def test_a_list_of_names_with_backslashes(root):
    draw_image(root / "i/x/4.jpg", [[0]])
    draw(root / "m/x/4.png", [[1]])
    write(root, train=["x\\4"], val=["1"])
    keys = {"images": "i/{name}.jpg", "masks": "m/{name}.png"}
    assert decoded(root, "list", classes=CLASSES, **keys)["train"] == {"x/4": [[1]]}


def test_names_that_hold_backslashes_or_are_not_utf_8(root):
    draw_image(root / r"i\4.jpg", [[0]])
    draw(root / "m" / os.fsdecode(b"\xe4.png"), [[1]])
    (root / "train.txt").write_bytes(b"i\\4.jpg m/\xe4.png\n")
    write(root, val=["i/1.jpg m/1.png"])
    assert decoded(root, "list", classes=CLASSES)["train"] == {r"i\4": [[1]]}


GOOD = ["i/0.jpg m/0.png"]
MISTAKES = {
    "an image that is not there": (
        {"train": [*GOOD, "i/9.jpg m/1.png"], "val": GOOD},
        {},
        "R/train.txt:2: image R/i/9.jpg does not exist; 1 of the 2 images in this list are missing",
    ),
    "a mask that is not there": (
        {"train": GOOD, "val": ["i/1.jpg m/9.png"]},
        {},
        "R/val.txt:1: mask R/m/9.png does not exist; 1 of the 1 masks in this list are missing",
    ),
    "a drive of Windows": (
        {"train": [r"D:\i\0.jpg m\0.png"], "val": GOOD},
        {},
        "R/train.txt:1: image R/D:/i/0.jpg does not exist; it starts with a Windows drive; write paths relative to "
        "the dataset",
    ),
    "an image twice": (
        {"train": [*GOOD, "", *GOOD], "val": ["i/1.jpg m/1.png"]},
        {},
        "R/train.txt:3: i/0 is already in line 1; remove one of them",
    ),
    "an image alone": (
        {"train": ["i/0.jpg"], "val": GOOD},
        {},
        "R/train.txt:1: expected an image and a mask separated by a space, a comma or a tab, not: i/0.jpg",
    ),
    "a space in a path": (
        {"train": ["my images/0.jpg m/0.png"], "val": GOOD},
        {},
        "R/train.txt:1: expected an image and a mask separated by a space, a comma or a tab, not: my images/0.jpg "
        "m/0.png",
    ),
    "no validation list": (
        {"train": GOOD},
        {},
        "data.files.val: R/val.txt does not exist; R contains: i, m, train.txt",
    ),
    "no training list": ({"val": GOOD}, {}, "data.files.train: R/train.txt does not exist; R contains: i, m, val.txt"),
    "an empty list": ({"train": [], "val": GOOD}, {}, "R/train.txt: is empty; expected one sample per line"),
    "a validation list and a share": (
        {"train": GOOD, "val": ["i/1.jpg m/1.png"]},
        {"val_fraction": 0.2},
        "data.val_fraction: 0.2 cannot be held out: that needs a list train and no list val, but the lists are: "
        "train, val; write null to hold nothing out",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_lists_that_are_wrong(case, root):
    lists, keys, text = MISTAKES[case]
    write(root, **lists)
    assert error_of(list_file.read, root, **keys) == text


def test_the_folder_above(root):
    write(root, train=GOOD, val=GOOD)
    above = root.parent
    assert error_of(list_file.read, above) == "data.root: R has no train.txt, but R/set has; write data.root: R/set"


NAMES = {"images": "i/{name}.jpg", "masks": "m/{name}.png"}


def test_lists_of_names(root):
    write(root, train=["2 1 1", "0"], val=["1"])
    assert decoded(root, "list", classes=CLASSES, **NAMES) == {
        "train": {"2": [[0, 255]], "0": [[0, 255]]},
        "val": {"1": [[1, 255]]},
    }
    (root / "m").rename(root / "later")
    masks = {"train": ["m/{name}.png", "later/{name}.png"], "val": "later/{name}.png"}
    assert list(decoded(root, "list", classes=CLASSES, images=NAMES["images"], masks=masks)["train"]) == ["2", "0"]


def test_lists_that_are_not_there_are_skipped(root):
    write(root, train=["0"])
    files = {"train": "train.txt", "val": ["val.txt", "valid.txt"]}
    assert names(list_file.read(root, files=files, **NAMES, missing_splits="skip")) == {"train": ["0"]}
    assert error_of(list_file.read, root, files=files, **NAMES).startswith("data.files.val: R/val.txt does not exist")
    write(root, valid=["1"])
    assert names(list_file.read(root, files=files, **NAMES)) == {"train": ["0"], "val": ["1"]}


def test_lists_of_names_that_are_wrong(root):
    write(root, train=["0"], val=["1"])
    assert error_of(list_file.read, root, images="i/{name}.jpg") == (
        "data.images, data.masks: write both, like JPEGImages/{name}.jpg and masks/{name}.png, or neither"
    )
    assert error_of(list_file.read, root, images=NAMES["images"], masks={"train": NAMES["masks"]}) == (
        "data.images, data.masks: have no path for split val of data.files"
    )
    assert error_of(list_file.read, root, files={}) == ("data.files: is empty; write {train: train.txt, val: val.txt}")


def test_an_image_that_is_its_own_mask(root):
    write(root, train=["0"], val=["1"])
    same = {"images": "i/{name}.jpg", "masks": "i/{name}.jpg"}
    assert error_of(list_file.read, root, **same) == (
        "R/train.txt:1: image and mask are the same file, R/i/0.jpg; write the path of its mask, or data.mask_band "
        "if one of its bands is the mask"
    )
    assert names(list_file.read(root, **same, mask_band=4)) == {"train": ["0"], "val": ["1"]}
    write(root, train=["i/0.jpg i/0.jpg"])
    assert error_of(list_file.read, root).startswith("R/train.txt:1: image and mask are the same file, R/i/0.jpg;")


def test_usual_words_for_splits(root):
    write(root, train=["0"], valid=["1"])
    assert list(reader("list")(root, files={"Training": "train.txt", "valid": "valid.txt"}, **NAMES)) == [
        "train",
        "val",
    ]
