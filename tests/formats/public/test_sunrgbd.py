"""SUN RGB-D, drawn in its published layout, with lines of its published lists."""

import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of, write_list

read = reader("sunrgbd")

TRAIN_LINES = [
    "sunrgbd_train_image/img-000001.jpg,sunrgbd_train_test_labels/img-005051.png",
    "sunrgbd_train_image/img-000002.jpg,sunrgbd_train_test_labels/img-005052.png",
    "sunrgbd_train_image/img-000003.jpg,sunrgbd_train_test_labels/img-005053.png",
    "sunrgbd_train_image/img-005285.jpg,sunrgbd_train_test_labels/img-010335.png",
]
TEST_LINES = [
    "sunrgbd_test_image/img-000001.jpg,sunrgbd_train_test_labels/img-000001.png",
    "sunrgbd_test_image/img-005050.jpg,sunrgbd_train_test_labels/img-005050.png",
]


@pytest.fixture
def root(tmp_path):
    """All values in the training masks; in the test masks the last digits of their numbers."""
    folder = tmp_path / "set"
    for line in TRAIN_LINES + TEST_LINES:
        image, mask = line.split(",")
        pixels = [list(range(19)), list(range(19, 38))] if line in TRAIN_LINES else [[int(mask[-5:-4]), 0]]
        draw_image(folder / image, pixels)
        draw(folder / mask, pixels)
    return folder


@pytest.fixture
def lists(root):
    write_list(root / "train.txt", *TRAIN_LINES)
    write_list(root / "test.txt", *TEST_LINES)
    return root


EVERY_VALUE = [[255, *range(18)], list(range(18, 37))]


@pytest.mark.parametrize("layout", ["root", "lists"])
def test_every_value_with_lists_and_without(layout, request):
    splits = decoded(request.getfixturevalue(layout), "sunrgbd", val_fraction=0.25)
    assert {split: len(masks) for split, masks in splits.items()} == {"train": 3, "val": 1, "test": 2}
    names = [line.partition(".")[0] for line in TRAIN_LINES]
    assert splits["train"] | splits["val"] == {name: EVERY_VALUE for name in names}
    assert splits["test"] == {
        "sunrgbd_test_image/img-000001": [[0, 255]],  # value 1
        "sunrgbd_test_image/img-005050": [[255, 255]],
    }


def rows(splits):
    return {split: list(samples) for split, samples in splits.items()}


def test_lists_and_numbers_give_the_same_pairs(root):
    without = rows(read(root, val_fraction=0.5, seed=3))
    write_list(root / "train.txt", *TRAIN_LINES)
    write_list(root / "test.txt", *TEST_LINES)
    assert rows(read(root, val_fraction=0.5, seed=3)) == without


def test_validation_is_cut_from_training_alone(lists):
    test = rows(read(lists))["test"]
    for seed in range(4):
        splits = rows(read(lists, val_fraction=0.5, seed=seed))
        assert splits["test"] == test
        assert len(splits["val"]) == 2 and all("sunrgbd_train_image" in sample.image for sample in splits["val"])


def test_a_list_for_validation_is_used_as_it_is(lists):
    write_list(lists / "mine.txt", TRAIN_LINES[3])
    write_list(lists / "rest.txt", *TRAIN_LINES[:3])
    splits = read(lists, files={"train": "rest.txt", "val": "mine.txt"})
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 3, "val": 1}
    assert splits["val"][0].mask == f"{lists}/sunrgbd_train_test_labels/img-010335.png"


def test_training_alone(root):
    for path in [*(root / "sunrgbd_test_image").iterdir()]:
        path.unlink()
    (root / "sunrgbd_test_image").rmdir()
    assert list(read(root)) == ["train", "val"]


def test_names_and_values():
    labels = load_dataset("sunrgbd").labels()
    assert len(labels.classes) == 37 and labels.ignore_values == (0,)
    assert labels.classes[0].name == "wall" and labels.classes[0].values == (1,)
    assert labels.classes[23].name == "fridge" and labels.classes[36].name == "bag"
    assert labels.classes[36].values == (37,) and len({item.color for item in labels.classes}) == 37


def test_a_listed_file_that_is_not_there(lists):
    (lists / "sunrgbd_train_test_labels/img-005052.png").unlink()
    assert error_of(read, lists) == (
        "R/train.txt:2: mask R/sunrgbd_train_test_labels/img-005052.png does not exist; "
        "1 of the 4 masks in this list are missing"
    )


def test_a_number_without_mask(root):
    (root / "sunrgbd_train_test_labels/img-005052.png").unlink()
    assert error_of(read, root) == (
        "data (train): R/sunrgbd_train_image/img-000002.jpg has no mask R/sunrgbd_train_test_labels/img-005052.png"
    )


def test_the_folder_above(root):
    assert error_of(read, root.parent) == (
        "data.root: R has no sunrgbd_train_image, but R/set has; write data.root: R/set"
    )
