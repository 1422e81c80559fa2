import base64
import io
import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats import labelme
from tests.formats.format_reading import data_config

IMAGE = Image.fromarray(np.zeros((5, 6, 3), np.uint8))


def png(picture):
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


LARGE = shape("road", [[0, 0], [4, 0], [4, 3], [0, 3]])
SMALL = shape("car", [[3, 2], [1, 1]], "rectangle")
EMPTY = ["000000"] * 5
CLASSES = ["background", "road", "car"]


def write(path, *shapes, image=None, **more):
    """A file of labelme 5 for the image of the same name, or another, and that image where it is beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image or f"{path.stem}.png"
    if "/" not in image and "\\" not in image:
        IMAGE.save(path.parent / image)
    content = {"version": "5.2.0", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": None}
    content |= {"imageHeight": 5, "imageWidth": 6} | more
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "missing"}))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    write(folder / "train" / "a.json", LARGE, SMALL)
    write(folder / "train" / "b.json", SMALL, LARGE)
    write(folder / "val" / "c.json")
    return folder


@pytest.fixture
def read(root):
    """split -> {name: rows of class indices as digits, ? where they are ignored}"""

    def read(classes=CLASSES, **arguments):
        config = data_config(format="labelme", root=root, classes=classes, **arguments)
        decoder = LabelDecoder(config)
        splits = labelme.read(root, classes=config.classes, **arguments)
        return {split: {s.name: rows(decoder.read(s)) for s in samples} for split, samples in splits.items()}

    return read


def rows(mask):
    return ["".join("?" if value == 255 else str(value) for value in row) for row in mask.tolist()]


def error_of(read, root, **arguments):
    with pytest.raises(DataError) as error:
        read(**arguments)
    return str(error.value).replace(str(root), "R")


def test_shapes_are_drawn_in_the_order_of_the_file(read, root):
    first = ["111100", "122100", "111100", "000000", "000000"]
    later = ["111100", "111100", "111100", "000000", "000000"]
    assert read() == {"train": {"a": first, "b": later}, "val": {"c": EMPTY}}
    config = data_config(format="labelme", root=root, classes=CLASSES)
    sample = labelme.read(root, classes=config.classes)["train"][0]
    assert (sample.image, sample.mask_file) == (f"{root}/train/a.png", f"{root}/train/a.json")


WAYS = {
    "several labels": (
        {"classes": ["background", {"name": "thing", "labels": ["road", "car"]}]},
        ["111100", "111100", "111100", "000000", "000000"],
    ),
    "one class against the rest": (
        {"classes": ["road"], "other_labels": "background"},
        ["111100", "100100", "111100", "000000", "000000"],
    ),
    "others ignored": (
        {"classes": ["road"], "other_labels": "ignore"},
        ["111100", "1??100", "111100", "000000", "000000"],
    ),
    "no background": (
        {"classes": ["road", "car"], "unlabeled": "ignore"},
        ["0000??", "0110??", "0000??", "??????", "??????"],
    ),
}


@pytest.mark.parametrize("case", WAYS)
def test_what_pixels_are(case, read):
    arguments, mask = WAYS[case]
    assert read(**arguments)["train"]["a"] == mask


SHAPES = {
    "a polygon of an old file": ({"label": "car", "points": [[0, 0], [2, 0], [2, 1], [0, 1]]}, ["220000", *EMPTY[1:]]),
    "a rectangle from its lower left": (shape("car", [[1, 3], [3, 1]], "rectangle"), [EMPTY[0], "022000", "022000"]),
    "four points": (shape("car", [[1, 1], [3, 1], [3, 2], [1, 2]], "rectangle"), [EMPTY[0], "022000"]),
    "a turned rectangle": (
        shape("car", [[4, 1], [4, 3], [1, 3], [1, 1]], "oriented_rectangle"),
        [EMPTY[0], "022200", "022200"],
    ),
    "a circle": (shape("car", [[3, 2], [3, 3.6]], "circle"), ["002200", "022220", "022220", "002200"]),
    "a mask": (
        shape("car", [[4, 3], [5, 4]], "mask", mask=png(Image.fromarray(np.array([[1, 1], [0, 1]], bool)))),
        [*EMPTY[:3], "000022", "000002"],
    ),
    "two points": (shape("car", [[0, 0], [3, 3]]), EMPTY),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_every_kind_of_shape(case, read, root):
    drawn, expected = SHAPES[case]
    write(root / "train" / "a.json", drawn)
    assert read()["train"]["a"] == [*expected, *EMPTY[len(expected) :]]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"


@pytest.mark.parametrize(
    "content", [EPS, b"text", base64.b64decode(png(IMAGE))[:40], b""], ids=["eps", "text", "cut", ""]
)
def test_a_mask_that_is_not_an_image(content, read, root, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)  # Pillow looks for Ghostscript
    write(root / "train" / "a.json", shape("car", [[0, 0], [1, 1]], "mask", mask=base64.b64encode(content).decode()))
    assert error_of(read, root).startswith("R/train/a.json: shape 1 (car) of a.png: its mask ")


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_lines_are_left_out_where_that_is_written(kind, read, root):
    write(root / "train" / "a.json", LARGE, shape("anything", [[0, 0], [3, 3]], kind))
    text = (
        f"R/train/a.json: shape 2 (anything): is a {kind}, which does not cover an area; draw a polygon, or write "
        f"data.lines: skip"
    )
    assert error_of(read, root) == text
    assert read(lines="skip")["train"]["a"] == ["111100", "111100", "111100", "000000", "000000"]


def test_images_in_a_folder_of_their_own(read, root):
    shutil.rmtree(root)
    (root / "images").mkdir(parents=True)
    for name in ("a", "b", "c"):
        IMAGE.save(root / "images" / f"{name}.png")
    write(root / "labels" / "train" / "deep" / "a.json", LARGE, image="..\\..\\..\\images\\a.png")
    write(root / "labels" / "train" / "b.json", image="../../images/b.png", imageHeight=None, imageWidth=None)
    write(root / "labels" / "val" / "c.json", image="../../images/c.png", imageHeight="missing")
    masks = read(annotations={"train": "labels/train", "val": "labels/val"})
    assert masks["train"] == {"b": EMPTY, "deep/a": ["111100"] * 3 + ["000000"] * 2}
    assert masks["val"] == {"c": EMPTY}


def test_an_image_beside_the_file_whose_path_is_that_of_another_computer(read, root):
    write(root / "train" / "a.json", LARGE, image="C:\\Users\\me\\a.png")
    IMAGE.save(root / "train" / "a.png")
    assert read()["train"]["a"][0] == "111100"


def test_one_folder_is_cut_by_the_seed(read, root):
    shutil.move(root / "val" / "c.json", root / "train" / "c.json")
    shutil.move(root / "val" / "c.png", root / "train" / "c.png")
    splits = read(annotations="train", val_fraction=0.4)
    assert len(splits["val"]) == 1 and sorted(splits["train"] | splits["val"]) == ["a", "b", "c"]


def test_a_share_of_train_where_there_is_no_val(read):
    splits = read(annotations={"train": "train", "test": "val"}, val_fraction=0.4)
    assert len(splits["train"]) == len(splits["val"]) == 1 and list(splits["test"]) == ["c"]


def test_images_without_a_file(read, root):
    for name in ("train/x.png", "train/y.jpg", "val/z.png"):
        IMAGE.save(root / name)
    (root / "train" / "notes.txt").touch()
    text = (
        "R/train: 2 images next to annotated ones have no JSON file: R/train/x.png, R/train/y.jpg; write "
        "data.without_annotation: background if they contain nothing, or skip to leave them out"
    )
    assert error_of(read, root) == text
    splits = read(without_annotation="background")
    assert sorted(splits["train"]) == ["a", "b", "x", "y"] and splits["val"] == {"c": EMPTY, "z": EMPTY}
    assert splits["train"]["x"] == splits["train"]["y"] == EMPTY
    ignored = read(["road", "car"], without_annotation="background", unlabeled="ignore")
    assert ignored["val"]["z"] == ["??????"] * 5


def test_images_without_a_file_in_a_folder_of_two_splits(read, root):
    write(root / "val" / "c.json", image="../train/c.png")
    for name in ("c", "d"):
        IMAGE.save(root / "train" / f"{name}.png")
    text = (
        "R/train: 1 image has no JSON file, for example R/train/d.png, and the folder belongs to several splits; "
        "remove them"
    )
    assert error_of(read, root, without_annotation="background") == text
    (root / "train" / "d.png").unlink()
    assert read()["val"] == {"c": EMPTY}


def test_an_image_that_is_in_the_file_alone(read, root):
    write(root / "train" / "a.json", LARGE, imageData=png(IMAGE))
    (root / "train" / "a.png").unlink()
    text = error_of(read, root)
    code = (
        "import base64, json; d = json.load(open('R/train/a.json')); open('R/train/a.png', 'wb')"
        ".write(base64.b64decode(d['imageData']))"
    )
    assert text == (
        "R/train/a.json: image R/train/a.png does not exist; the file contains it as imageData; to extract it: "
        f'python -c "{code}"'
    )
    arguments = shlex.split(text.partition("python ")[2].replace("R/", f"{root}/"))
    subprocess.run([sys.executable, *arguments], check=True)
    assert read()["train"]["a"][0] == "111100"


# The shapes and keys of a file -> the line
MISTAKES = {
    "labels that no class claims": (
        [LARGE, shape("tree", [[0, 0]]), shape("bus", []), shape("tree", [])],
        {},
        "R/train: no class claims the labels of 3 objects: tree (2), bus (1); the classes claim: background, road, "
        "car; add them to classes, like {name: .., labels: [tree]}, or write data.other_labels: background or ignore",
    ),
    "no shapes": (
        [],
        {"shapes": "missing"},
        "R/train/a.json: is not a labelme file: it has no shapes; its keys: version, flags, imagePath, imageData, "
        "imageHeight, imageWidth",
    ),
    "shapes that are no list": ([], {"shapes": 5}, "R/train/a.json: is not a labelme file: shapes is not a list"),
    "no path": ([], {"imagePath": None}, "R/train/a.json: is not a labelme file: imagePath is not a string"),
    "a shape without points": ([{"label": "car"}], {}, "R/train/a.json: shapes[0] has no label or no points"),
    "an unknown shape": (
        [shape("car", [[0, 0], [1, 1]], "cuboid")],
        {},
        "R/train/a.json: shape 1 (car): a cuboid with 2 points is not a supported shape; use polygon, rectangle, "
        "oriented_rectangle, circle or mask",
    ),
    "a circle of one point": (
        [shape("car", [[0, 0]], "circle")],
        {},
        "R/train/a.json: shape 1 (car): a circle with 1 points is not a supported shape; use polygon, rectangle, "
        "oriented_rectangle, circle or mask",
    ),
    "points that are no pairs": (
        [shape("car", [[0, 0, 1], [1, 1, 1]])],
        {},
        "R/train/a.json: shape 1 (car): its points are not pairs of x and y",
    ),
    "a point far outside": (
        [shape("car", [[0, 0], [1, 1], [0, 1e8]])],
        {},
        "R/train/a.json: shape 1 (car) of a.png: a point at 100000000.0 is far outside the image, 6 x 5",
    ),
    "another size": (
        [],
        {"imageWidth": 7},
        "R/train/a.json: says that the image has 7 x 5 pixels, but R/train/a.png has 6 x 5",
    ),
    "an image that is not there": (
        [],
        {"image": "../x/a.png"},
        "R/train/a.json: image R/x/a.png does not exist, nor does R/train/a.png",
    ),
    "an image of two files": (
        [],
        {"image": "b.png"},
        "R/train/b.json: image R/train/b.png already belongs to R/train/a.json; remove one of them",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_files_that_are_wrong(case, read, root):
    shapes, more, text = MISTAKES[case]
    (root / "train" / "a.png").unlink()
    write(root / "train" / "a.json", *shapes, **more)
    assert error_of(read, root) == text


def test_a_folder_without_files(read, root):
    (root / "val" / "c.json").unlink()
    assert error_of(read, root) == "R/val: contains no labelme .json files"
    text = "data.annotations: write a folder, or {train: folder, val: folder}"
    assert error_of(read, root, annotations={"val": "val"}) == text


def test_a_root_beside_the_right_one(root):
    classes = data_config(format="folders", root=root, classes=CLASSES).classes
    with pytest.raises(DataError) as error:
        labelme.read(root / "train", classes=classes)
    assert str(error.value) == f"data.root: {root}/train has no train, but {root} has; write data.root: {root}"
