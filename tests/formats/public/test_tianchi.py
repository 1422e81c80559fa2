import numpy as np
import pytest
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats import read_dataset
from tests.formats.format_reading import data_config


def read(root, **keys):
    """The splits, with the classes of the dataset."""
    config = data_config(format="tianchi", root=root)
    return read_dataset("tianchi", root, keys, classes=config.classes, seed=keys.pop("seed", 0))


RUNS = {"A": "4 4 9 1 11 2", "B": "", "C": "NaN", "D": "1 12", "E": "12 1"}
MASKS = {
    "A": [[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1]],
    "B": [[0] * 4] * 3,
    "C": [[0] * 4] * 3,
    "D": [[1] * 4] * 3,
    "E": [[0] * 4, [0] * 4, [0, 0, 0, 1]],
}


@pytest.fixture
def root(tmp_path):
    """The published layout: five images of 4 x 3 pixels."""
    folder = tmp_path / "set"
    (folder / "train").mkdir(parents=True)
    for name in RUNS:
        Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(folder / "train" / f"{name}.jpg")
    write(folder, *(f"{name}.jpg\t{runs}" for name, runs in RUNS.items()))
    return folder


def write(root, *lines):
    (root / "train_mask.csv").write_text("\n".join(lines) + "\n")


def masks_of(root, **arguments):
    """split -> {name: class indices}"""
    decoder = LabelDecoder(data_config(format="tianchi", root=root))
    splits = read(root, **arguments)
    return {split: {s.name: decoder.read(s).tolist() for s in samples} for split, samples in splits.items()}


def test_every_pixel(root):
    masks = masks_of(root, val_fraction=0.4)
    assert len(masks["val"]) == 2
    assert masks["train"] | masks["val"] == MASKS
    sample = read(root)["train"][0]
    assert sample.image == f"{root}/train/{sample.name}.jpg" and sample.mask_file == f"{root}/train_mask.csv"


@pytest.mark.parametrize("separator", ["\t", ",", " , "])
@pytest.mark.parametrize("header", [[], ["name", "mask"], ["ImageId", "EncodedPixels"]])
def test_tables_that_others_write(root, monkeypatch, separator, header):
    write(root, separator.join(header), *(f'"{name}.jpg"{separator}"{runs}"' for name, runs in RUNS.items()), "")
    masks = masks_of(root)
    assert masks["train"] | masks["val"] == MASKS


def test_the_split_is_that_of_the_seed(root):
    def held_out(seed):
        return {sample.name for sample in read(root, val_fraction=0.4, seed=seed)["val"]}

    assert held_out(0) == held_out(0)
    assert len({frozenset(held_out(seed)) for seed in range(8)}) > 1


# What is written as the table -> the line; R stands for the root.
MISTAKES = {
    "a name without an image": (
        ["A.jpg\t1 1", "X.jpg\t1 1"],
        "R/train_mask.csv:2: 1 of 2 images are not in R/train, or their names are not unique there: X.jpg",
    ),
    "an image without a line": (
        [f"{name}.jpg\t" for name in "ABD"],
        "R/train_mask.csv: 2 of the 5 images in R/train have no row: C.jpg, E.jpg; write data.without_row: "
        "background if they contain nothing, or skip to leave them out",
    ),
    "nothing": ([""], "R/train_mask.csv: is empty; expected a header like ImageId,ClassId,EncodedPixels"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_tables_that_are_wrong(root, case):
    lines, text = MISTAKES[case]
    write(root, *lines)
    with pytest.raises(DataError) as error:
        read(root)
    assert str(error.value).replace(str(root), "R") == text


BROKEN = {
    "1 2 5": "has 3 numbers; a run consists of a start and a length",
    "1 x": "'x' is not a number; a run consists of a start and a length",
    "12 2": "the run 12 2 ends past the 12 pixels of the image, 4 x 3",
    "1 3 2 2": "the runs 1 3 and 2 2 overlap",
}


@pytest.mark.parametrize("runs", BROKEN)
def test_broken_runs(root, monkeypatch, runs):
    write(root, *(f"{name}.jpg\t{runs if name == 'C' else ''}" for name in RUNS))
    with pytest.raises(DataError) as error:
        masks_of(root)
    assert str(error.value) == f"{root}/train_mask.csv: line 3 (building) of C.jpg: {BROKEN[runs]}"


def test_a_root_beside_the_right_one(root):
    with pytest.raises(DataError) as error:
        read(root / "train")
    assert str(error.value) == f"data.root: {root}/train has no train, but {root} has; write data.root: {root}"
    with pytest.raises(DataError) as error:
        read(root.parent)
    text = f"data.root: {root.parent} has no train, but {root} has; write data.root: {root}"
    assert str(error.value) == text
