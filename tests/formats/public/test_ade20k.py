import numpy as np
import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names

read = reader("ade20k")

MASKS = {
    "training/ADE_train_00000001": [[0, 1, 2], [3, 150, 149]],
    "training/ADE_train_00000002": np.arange(151).reshape(1, 151).tolist(),
    "validation/ADE_val_00000001": [[13, 0], [0, 7]],
}


@pytest.fixture
def root(tmp_path):
    """A drawn ADEChallengeData2016: two training images, one of them with every value, and one for validation."""
    folder = tmp_path / "ADEChallengeData2016"
    for name, mask in MASKS.items():
        draw_image(folder / "images" / f"{name}.jpg", mask)
        draw(folder / "annotations" / f"{name}.png", mask)
    (folder / "objectInfo150.txt").touch()
    return folder


def test_every_pixel(root):
    splits = read(root)
    assert names(splits) == {"train": ["ADE_train_00000001", "ADE_train_00000002"], "val": ["ADE_val_00000001"]}
    assert files(root, splits["val"]) == [
        ("images/validation/ADE_val_00000001.jpg", "annotations/validation/ADE_val_00000001.png")
    ]
    config = data_config(format="ade20k", root=root)
    assert decode(config, splits["train"]) == {
        "ADE_train_00000001": [[255, 0, 1], [2, 149, 148]],
        "ADE_train_00000002": [[255, *range(150)]],
    }
    assert decode(config, splits["val"]) == {"ADE_val_00000001": [[12, 255], [255, 6]]}


def test_the_classes_of_the_benchmark():
    classes = load_dataset("ade20k").labels().classes
    assert len(classes) == 150 and len({item.name for item in classes}) == 150
    assert [item.values for item in classes] == [(value,) for value in range(1, 151)]
    some = {1: "wall", 2: "building", 8: "bed", 13: "person", 21: "car", 90: "television", 131: "screen", 150: "flag"}
    assert {value: classes[value - 1].name for value in some} == some
    colors = {1: (120, 120, 120), 7: (140, 140, 140), 13: (150, 5, 61), 49: (140, 140, 140), 150: (92, 0, 255)}
    assert {value: classes[value - 1].color for value in colors} == colors


def test_a_split_alone(root):
    for kind in ("images", "annotations"):
        for path in (root / kind / "training").iterdir():
            path.unlink()
        (root / kind / "training").rmdir()
    assert names(read(root)) == {"val": ["ADE_val_00000001"]}
    (root / "annotations" / "validation").rename(root / "annotations" / "val")
    assert error_of(read, root) == (
        "data (val).masks: R/annotations/validation does not exist; R/annotations contains: val"
    )
    (root / "images" / "validation").rename(root / "images" / "val")
    assert error_of(read, root) == "data (train).images: R/images/training does not exist; R/images contains: val"


def test_wrong_roots_and_images_without_annotations(root):
    above = error_of(read, root.parent)
    assert above == (
        "data.root: R has no images/training, but R/ADEChallengeData2016 has; write data.root: R/ADEChallengeData2016"
    )
    below = error_of(read, root / "images")
    assert below == f"data.root: R has no images/training, but {root} has; write data.root: {root}"
    (root / "annotations/training/ADE_train_00000002.png").unlink()
    assert error_of(read, root) == (
        "data (train): 1 of 2 images have no mask in R/annotations/training: R/images/training/ADE_train_00000002.jpg"
    )
