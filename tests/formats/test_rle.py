import numpy as np
import pytest
from PIL import Image

from segtrain.errors import DataError
from segtrain.formats import rle
from segtrain.formats.sample import Label
from tests.formats.format_reading import data_config, decoded

CLASSES = ["background", "cat", "dog"]
# An image of 4 x 3 pixels: runs down the columns, from 1.
CAT, DOG = ["010", "010", "000", "000"], ["000", "000", "100", "101"]


@pytest.fixture
def write(tmp_path):
    """Draw the images a and b, and write the table train.csv."""

    def write(*lines, files=("a.jpg", "b.png")):
        for file in files:
            (tmp_path / "train" / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "train" / file)
        (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


def masks(root, classes=CLASSES, **keys):
    """name -> columns of class indices as digits, ? where they are ignored"""
    found = decoded(root, "rle", classes=classes, val_fraction=0.5, **keys)
    return {
        name: ["".join("?" if value == 255 else str(value) for value in column) for column in np.transpose(mask)]
        for split in found.values()
        for name, mask in split.items()
    }


A = ["010", "010", "200", "202"]
EMPTY = ["000"] * 4
TABLES = {
    "a row for each class": (
        ["ImageId,ClassId,EncodedPixels", "a.jpg,cat,2 1 5 1", "a.jpg,dog,7 1 10 1 12 1", "b.png,cat,"], A
    ),
    "a row for each object": (
        ["id,segmentation,class", "a,2 1,cat", "a,5 1,cat", "a,7 1,dog", "a,12 1 10 1,dog", "b,nan,cat"], A
    ),
    "objects of a class overlap": (
        ["img;label;rle", "a;cat;2 1 5 1", "a;cat;5 1", "a;dog;7 1 10 1 12 1", "b;cat;-1"], A
    ),
    "both in one column": (
        ["ImageId_ClassId,EncodedPixels", "a.jpg_cat,2 1 5 1", "a.jpg_dog,7 1 10 1 12 1", "b.png_cat,", "b.png_dog,"], A
    ),
    "Image_Label": (["Image_Label\tEncodedPixels", "a.jpg_cat\t2 1 5 1", "a.jpg_dog\t7 1 10 1 12 1", "b.png_cat\t"], A),
    "quotes and spaces": (
        ['"ImageId", "ClassId" , "EncodedPixels"', '"a.jpg" ,"cat","2 1 5 1"', 'a,dog," 7 1 10 1 12 1"', "b,dog,-1"], A
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_usual_tables(case, write):
    lines, mask = TABLES[case]
    assert masks(write(*lines)) == {"a": mask, "b": EMPTY}


def test_other_columns_and_other_meanings(write):
    root = write("file,kind,px,ClassId", "a.jpg,cat,2 1,x", "a.jpg,dog,5 2,y", "b.png,bird,1 1,z")
    columns = {"image_column": "file", "class_column": "kind", "runs_column": "px"}
    assert masks(root, other_labels="ignore", **columns) == {
        "a": ["010", "022", "000", "000"],
        "b": ["?00", *EMPTY[1:]],
    }
    along_rows = {"a": ["020", "120", "000", "000"], "b": ["?00", *EMPTY[1:]]}
    assert masks(root, other_labels="ignore", order="rows", **columns) == along_rows
    unlabeled = masks(root, ["cat", "dog"], other_labels="ignore", unlabeled="ignore", **columns)
    assert unlabeled["a"] == ["?0?", "?11", "???", "???"]
    keys = {"file": "train.csv", **columns}
    assert rle.find_labels(root, **keys) == [Label("bird", 1), Label("cat", 1), Label("dog", 1)]


def test_one_class_needs_no_column(write):
    root = write("ImageId,EncodedPixels", "a,2 1", "a,5 1", "b,")
    assert masks(root, ["crack"]) == {"a": ["010", "010", "000", "000"], "b": EMPTY}
    assert masks(root, ["background", {"name": "crack", "labels": ["x"]}])["a"][0] == "010"
    assert rle.find_labels(root) == [Label("object", 2)]


def test_a_path_is_its_image_though_others_have_the_name(write):
    root = write("ImageId,EncodedPixels", "a.jpg,2 1", files=("a.jpg", "deep/a.jpg"))
    assert masks(root, ["crack"], without_row="background") == {"a": ["010", *EMPTY[1:]], "deep/a": EMPTY}


def test_images_without_a_row(write):
    root = write("ImageId,EncodedPixels", "a,2 1", "b,3 1", files=("a.jpg", "b.png", "deep/c.png"))
    assert masks(root, ["crack"], without_row="background").keys() == {"a", "b", "deep/c"}
    assert masks(root, ["crack"], without_row="skip").keys() == {"a", "b"}


def test_classes_that_overlap_are_an_error_unless_the_later_one_is_meant(write):
    root = write("ImageId,ClassId,EncodedPixels", "a,cat,1 3", "a,dog,3 2", "b,cat,")
    with pytest.raises(DataError) as error:
        masks(root)
    assert str(error.value) == (
        f"{root}/train.csv: a.jpg: line 2 (cat) and line 3 (dog) share 1 pixels, but a pixel has one class here: "
        f"remove one of them from data.classes, or write data.overlaps: later to let the later row win"
    )
    assert masks(root, overlaps="later")["a"] == ["112", "200", "000", "000"]


def test_runs_may_be_longer_than_a_cell_of_the_standard_library(write):
    root = write("ImageId,EncodedPixels", "a," + " ".join(["1 1"] * 50_000), "b,1 1")
    with pytest.raises(DataError) as error:
        masks(root, ["crack"])
    assert str(error.value) == f"{root}/train.csv: line 2 (crack) of a.jpg: the runs 1 1 and 1 1 overlap"


MISTAKES = {
    "a column that is not there": (
        ["ImageId,EncodedPixels", "a,1 1"], {"class_column": "kind"},
        "R/train.csv: no column 'kind'; it has: ImageId, EncodedPixels; write data.class_column: one of these",
    ),
    "no runs": (
        ["ImageId,ClassId", "a,cat"], {},
        "R/train.csv: no column 'EncodedPixels'; it has: ImageId, ClassId; if one of these is meant, write "
        "data.runs_column: NAME",
    ),
    "no classes": (
        ["ImageId,EncodedPixels", "a,1 1"], {},
        "R/train.csv: has no class column; write data.class_column, or only one class in data.classes",
    ),
    "no rows": (["ImageId,ClassId,EncodedPixels"], {}, "R/train.csv: has no rows below its header"),
    "no image in a row": (
        ["ImageId,ClassId,EncodedPixels", ",cat,1 1"], {}, "R/train.csv:2: column 'ImageId' contains '', not an image"
    ),
    "runs without a class": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,1 1", "b,,1 1"], {},
        "R/train.csv:3: has run lengths for b but no class; add the class or remove the row",
    ),
    "a row that is cut off": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,1 1", "b,cat"], {},
        "R/train.csv:3: has 2 of the 3 cells of the header; is the file complete?",
    ),
    "an image that is not there": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,1 1", "c,cat,1 1"], {},
        "R/train.csv:3: 1 of 2 images are not in R/train, or their names are not unique there: c",
    ),
    "an image without a row": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,1 1"], {},
        "R/train.csv: 1 of the 2 images in R/train have no row: b.png; write data.without_row: background if they "
        "contain nothing, or skip to leave them out",
    ),
    "a class that nobody claims": (
        ["ImageId,ClassId,EncodedPixels", "a,bird,1 1", "b,cat,"], {},
        "R/train.csv: no class claims the labels of 1 object: bird (1); the classes claim: background, cat, dog; add "
        "them to classes, like {name: .., labels: [bird]}, or write data.other_labels: background or ignore",
    ),
    "runs past the end": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,12 2", "b,cat,"], {},
        "R/train.csv: line 2 (cat) of a.jpg: the run 12 2 ends past the 12 pixels of the image, 4 x 3",
    ),
    "no pairs": (
        ["ImageId,ClassId,EncodedPixels", "a,cat,12", "b,cat,"], {},
        "R/train.csv: line 2 (cat) of a.jpg: has 1 numbers; a run consists of a start and a length",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_tables_that_are_wrong(case, write):
    lines, keys, message = MISTAKES[case]
    root = write(*lines)
    with pytest.raises(DataError) as error:
        masks(root, **keys)
    assert str(error.value).replace(str(root), "R") == message


def test_a_class_has_no_colors(write):
    write("ImageId,EncodedPixels", "a,1 1", "b,")
    assert data_config(format="rle", root="x", classes=["crack"]).classes[0].value == 1
