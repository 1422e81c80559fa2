import base64
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.config.data_schema import ClassConfig
from segtrain.config.tree import parse_yaml
from segtrain.errors import DataError
from segtrain.formats import polygons as drawn
from segtrain.formats.polygons import Legend, read_legend


def classes(*items):
    return [ClassConfig(**({"name": item} if isinstance(item, str) else item)) for item in items]


LEGENDS = {
    "places": (
        classes("background", "car", {"name": "two", "labels": ["bus", "truck"]}),
        ("background", "error"),
        Legend({"background": 0, "car": 1, "bus": 2, "truck": 2}, 0, None),
    ),
    "background in another place": (
        classes("car", "background"),
        ("background", "background"),
        Legend({"car": 0, "background": 1}, 1, 1),
    ),
    "one class": (classes("car"), ("background", "ignore"), Legend({"car": 1}, 0, 65535)),
    "nothing is background": (classes("a", "b"), ("ignore", "ignore"), Legend({"a": 0, "b": 1}, 65535, 65535)),
    "a value that is the place": (
        classes("a", {"name": "b", "value": 1, "color": [1, 2, 3]}, {"name": "c", "values": [2]}),
        ("ignore", "error"),
        Legend({"a": 0, "b": 1, "c": 2}, 65535, None),
    ),
}


@pytest.mark.parametrize("case", LEGENDS)
def test_legends(case):
    given, (unlabeled, other_labels), expected = LEGENDS[case]
    assert read_legend(given, unlabeled=unlabeled, other_labels=other_labels) == expected


OWN_VALUE = (
    "data.classes: 'b' has values or colors, but annotation files contain names: remove them, and write labels: "
    "[first, second] if the names in the files differ from the class name"
)
LEGEND_MISTAKES = {
    "a value": (classes("a", {"name": "b", "value": 7}), ("ignore", "error"), OWN_VALUE),
    "values": (classes("a", {"name": "b", "values": [1, 2]}), ("ignore", "error"), OWN_VALUE),
    "colors": (classes("a", {"name": "b", "colors": [[1, 2, 3]]}), ("ignore", "error"), OWN_VALUE),
    "a label of two": (
        classes({"name": "a", "labels": ["x", "y"]}, {"name": "b", "labels": ["y"]}),
        ("ignore", "error"),
        "data.classes: 'a' and 'b' claim the same label 'y'",
    ),
    "no background": (
        classes("a", "b"),
        ("background", "error"),
        "data.classes: pixels outside all objects would be background, but no class has that name; write classes: "
        "[background, ...] or data.unlabeled: ignore",
    ),
    "no background for others": (
        classes("a", "b"),
        ("ignore", "background"),
        "data.classes: pixels of other labels would be background, but no class has that name; write classes: "
        "[background, ...] or data.other_labels: ignore",
    ),
}


@pytest.mark.parametrize("case", LEGEND_MISTAKES)
def test_classes_that_are_no_labels(case):
    given, (unlabeled, other_labels), text = LEGEND_MISTAKES[case]
    with pytest.raises(DataError) as error:
        read_legend(given, unlabeled=unlabeled, other_labels=other_labels)
    assert str(error.value) == text


CLAIMED = drawn.Legend({"background": 0, "red car": 1}, 0, None)


def test_unclaimed_labels():
    drawn.refuse_unclaimed(Path("F"), Counter(), CLAIMED)
    with pytest.raises(DataError) as error:
        drawn.refuse_unclaimed(Path("F"), Counter({c: n for n, c in enumerate("abcdefgh", start=1)}), CLAIMED)
    assert str(error.value) == (
        "F: no class claims the labels of 36 objects: h (8), g (7), f (6), e (5), d (4), c (3) and 2 more; the "
        "classes claim: background, red car; add them to classes, like {name: .., labels: [h]}, or write "
        "data.other_labels: background or ignore"
    )


@pytest.mark.parametrize("label", ["Red car", " red car", "red_car", "RED-CAR"])
def test_a_label_that_is_written_otherwise_is_given_to_the_class_it_means(label):
    with pytest.raises(DataError) as error:
        drawn.refuse_unclaimed(Path("F"), Counter({label: 1, "tree": 9}), CLAIMED)
    written = '" red car"' if label[0] == " " else label
    assert f"add them to classes, like {{name: .., labels: [red car, {written}]}}, or" in str(error.value)


@pytest.mark.parametrize(
    "label",
    ["1", "01", "1e3", "12:30", "null", "True", "no", "~", "a, b", "a: b", "it's", 'a "b"', "#x", "é", "a b", ""],
)
def test_what_is_written_for_a_label_is_read_as_that_label(label):
    with pytest.raises(DataError) as error:
        drawn.refuse_unclaimed(Path("F"), Counter([label]), CLAIMED)
    written = str(error.value).partition("like ")[2].partition(", or write data.other_labels")[0]
    assert ClassConfig.model_validate(parse_yaml(written.replace("..", "x")).plain()).labels == [label]


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.jpg", "a"), ("x/a.v2.png", "x/a.v2"), ("../../up/./a.jpg", "up/a"), ("/data/a.jpg", "data/a")],
)
def test_names_stay_in_the_data_set(file, name):
    assert drawn.name_of(file) == name


@pytest.fixture
def draw(tmp_path):
    """The mask of 5 x 6 pixels with these objects, as rows of digits; ? is 65535."""
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "a.png")

    def draw(*objects, size=(5, 6), outside=0, largest_first=False):
        named = [(value, f"object {place}", outline) for place, (value, outline) in enumerate(objects)]
        text = drawn.to_text(
            Path("F"), image=f"{tmp_path}/a.png", size=size, outside=outside, objects=named, largest_first=largest_first
        )
        mask = drawn.read_mask(text, as_color=False)
        assert mask.dtype == np.uint16 and mask.flags.c_contiguous
        return ["".join("?" if value == 65535 else str(value) for value in row) for row in mask.tolist()]

    return draw


def bitmap(rows):
    file = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


NOTHING = ["000000"] * 5
OUTLINES = {
    "a rectangle": ([[1, 1, 4, 1, 4, 3, 1, 3]], ["000000", "011100", "011100", "000000", "000000"]),
    "two polygons": ([[0, 0, 1, 0, 1, 1, 0, 1], [5, 4, 6, 4, 6, 5, 5, 5]], ["1" + "0" * 5, *NOTHING[:3], "000001"]),
    "a triangle": ([[0, 0, 5, 0, 0, 5]], ["111100", "111000", "110000", "100000", "000000"]),
    "past the border": ([[-3, 3, 9, 3, 9, 9, -3, 9]], ["000000", "000000", "000000", "111111", "111111"]),
    "two points": ([[1, 1, 4, 4]], NOTHING),
    "two points and a rectangle": ([[1, 1, 4, 4], [0, 4, 6, 4, 6, 5, 0, 5]], [*NOTHING[:4], "111111"]),
    "no polygon": ([], NOTHING),
    "counts": ({"counts": [5, 2, 22, 1], "size": [5, 6]}, ["010000", "010000", "000000", "000000", "000001"]),
    "a circle": ({"ellipse": [3, 2, 1.6, 1.6, 0]}, ["001100", "011110", "011110", "001100", "000000"]),
    "an ellipse": ({"ellipse": [3, 2.5, 2.6, 1.1, 0]}, ["000000", "001100", "111111", "001100", "000000"]),
    "an ellipse that is turned": ({"ellipse": [3, 2.5, 2.4, 1, 90]}, ["001100"] * 5),
    "a flat ellipse": ({"ellipse": [3, 2, 0, 3, 0]}, NOTHING),
    "counts along the rows of a box": (
        {"counts": "1, 2, 1, 1", "box": [2, 1, 3, 2]}, ["000000", "000110", "000100", "000000", "000000"]
    ),
    "counts that begin inside": ({"counts": "0,2", "box": [4, 4, 2, 1]}, [*NOTHING[:4], "000011"]),
    "runs down the columns": ({"runs": "5 2 1 1", "along": "columns"}, ["110000", *NOTHING[1:4], "100000"]),
    "runs along the rows": ({"runs": "6 2", "along": "rows"}, ["000001", "100000", *NOTHING[2:]]),
    "a circle at the border": ({"ellipse": [0, 0, 1, 1, 0]}, ["100000", *NOTHING[1:]]),
    "a bitmap": ({"bitmap": bitmap([[1, 0], [0, 255]]), "at": [3, 2.2]}, [*NOTHING[:2], "000100", "000010", "000000"]),
    "a bitmap past the upper left": ({"bitmap": bitmap([[1, 1], [1, 1]]), "at": [-1, -1]}, ["100000", *NOTHING[1:]]),
    "a bitmap past the lower right": ({"bitmap": bitmap([[1, 1], [1, 1]]), "at": [5, 4]}, [*NOTHING[:4], "000001"]),
    "a bitmap outside": ({"bitmap": bitmap([[1, 1], [1, 1]]), "at": [-9, 40]}, NOTHING),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTLINES)
def test_outlines(case, draw):
    outline, rows = OUTLINES[case]
    assert draw((1, outline)) == rows


def test_the_order_of_what_overlaps(draw):
    small, large = [[1, 1, 3, 1, 3, 2, 1, 2]], [[0, 0, 4, 0, 4, 3, 0, 3]]
    assert draw((1, small), (2, large)) == ["222200", "222200", "222200", "000000", "000000"]
    over = ["222200", "211200", "222200", "000000", "000000"]
    assert draw((2, large), (1, small)) == draw((1, small), (2, large), largest_first=True) == over
    assert draw((1, small), (2, small), largest_first=True)[1] == "022000"


def test_ignored_pixels_and_no_objects(draw):
    assert draw((65535, [[0, 0, 2, 0, 2, 1, 0, 1]]), outside=3) == ["??3333", *["333333"] * 4]
    assert draw(outside=65535, size=None) == ["??????"] * 5


NO_OUTLINE = "its segmentation is neither a list of polygons [x, y, x, y, ..] nor {counts, size}"
BROKEN = [
    ([[1, 1, 4, 1, 4, 3, 1]], "a polygon has 7 numbers, which are not pairs of x and y"),
    ([[1, 1, 4, 1, 4, 1e9]], "a point at 1000000000.0 is far outside the image, 6 x 5"),
    ([[1, 1, 4, 1, 4, float("nan")]], "a point at nan is far outside the image, 6 x 5"),
    ([[1, 1, 4, 1, 4, float("-inf")]], "a point at -inf is far outside the image, 6 x 5"),
    ([1, 1, 4, 1, 4, 3], NO_OUTLINE),
    ([[1, 1, 4, 1, 4, "3"]], NO_OUTLINE),
    ("polygon", NO_OUTLINE),
    ({"counts": [30]}, NO_OUTLINE),
    ({"size": [5, 6]}, NO_OUTLINE),
    ({"counts": 30, "size": [5, 6]}, NO_OUTLINE),
    ({"counts": [30], "size": [6, 5]}, "its size is [6, 5], but the image is [5, 6]"),
    ({"counts": [29], "size": [5, 6]}, "its counts add up to 29 pixels, but the image has 30, 6 x 5"),
    ({"bitmap": "AAAA", "at": [0, 0]}, "its mask is not an image of a supported type"),
]


@pytest.mark.parametrize(("outline", "text"), BROKEN)
def test_broken_outlines(outline, text, draw):
    with pytest.raises(DataError) as error:
        draw((1, []), (1, outline))
    assert str(error.value).startswith(f"F: object 1 of a.png: {text}")


def test_an_image_of_another_size(draw, tmp_path):
    with pytest.raises(DataError) as error:
        draw(size=(4, 6))
    text = f"F: says that the image has 6 x 4 pixels, but {tmp_path}/a.png has 6 x 5"
    assert str(error.value) == text
    with pytest.raises(DataError) as error:
        draw(size=(6, 5))
    text = (
        f"F: says that the image has 5 x 6 pixels, but {tmp_path}/a.png has 6 x 5; rotate the stored image as its EXIF "
        f"orientation says"
    )
    assert str(error.value) == text


JSON_MISTAKES = {
    '{"a": [],\n "b": }': "F:2: is not JSON: Expecting value (column 7)",
    "": "F:1: is not JSON: Expecting value (column 1)",
    "[1]": "F: is not a file of ours: it contains a list without a and b",
    "{}": "F: is not a file of ours: it has no a and no b; its keys: none",
    '{"a": 1, "c": 2, "d": 3}': "F: is not a file of ours: it has no b; its keys: a, c, d",
    '{"a": {}, "b": ""}': "F: is not a file of ours: a is not a list",
    '{"a": [], "b": []}': "F: is not a file of ours: b is not a string",
}


@pytest.mark.parametrize("content", JSON_MISTAKES)
def test_files_that_are_no_annotations(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError) as error:
        drawn.load_json(tmp_path / "a.json", "a file of ours", lists=["a"], texts=["b"])
    assert str(error.value).replace(f"{tmp_path}/a.json", "F") == JSON_MISTAKES[content]


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError) as error:
        drawn.load_json(tmp_path / "a.json", "a file of ours", lists=["a"])
    assert str(error.value).startswith(f"{tmp_path}/a.json: is not JSON: 'utf-8' codec can't decode byte 0xff")
    with pytest.raises(DataError) as error:
        drawn.load_json(tmp_path, "a file of ours", lists=["a"])
    assert str(error.value) == f"{tmp_path}: cannot be read: Is a directory"
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1]}')
    assert drawn.load_json(tmp_path / "a.json", "a file of ours", lists=["a"]) == {"a": [1]}
