"""COCO-Stuff in both versions, drawn in its published layout."""

import numpy as np
import pytest
from scipy.io import savemat

from segtrain.formats.dataset_info import load_dataset
from segtrain.formats.public import masks
from segtrain.visualize import default_colors
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of, write_list

read = reader("coco_stuff")

UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91]
USED = [number for number in range(1, 183) if number not in UNUSED]  # ids in the order of the 171 classes


def draw_164k(root, *, images="images", masks="annotations"):
    """All 171 ids in a training mask of 9 x 19, and three pixels for validation."""
    for split, number, mask in (
        ("train2017", "000000000009", (np.array(USED) - 1).reshape(9, 19)),
        ("val2017", "000000000139", np.array([[0, 181, 255]])),
    ):
        draw_image(root / images / split / f"{number}.jpg", mask)
        draw(root / masks / split / f"{number}.png", mask)


EXPECTED_164K = {
    "train": {"000000000009": np.arange(171).reshape(9, 19).tolist()},
    "val": {"000000000139": [[0, 170, 255]]},
}


@pytest.mark.parametrize(
    ("images", "masks"), [("images", "annotations"), ("images", "stuffthingmaps"), (".", "stuffthingmaps")]
)
def test_164k(images, masks, tmp_path):
    draw_164k(tmp_path, images=images, masks=masks)
    assert decoded(tmp_path, "coco_stuff") == EXPECTED_164K


def test_masks_that_other_tools_lay_beside_are_left_alone(tmp_path):
    draw_164k(tmp_path)
    draw(tmp_path / "annotations/train2017/000000000009_labelTrainIds.png", [[1]])
    draw(tmp_path / "annotations/val2017/000000000139_labelTrainIds.png", [[1]])
    assert decoded(tmp_path, "coco_stuff") == EXPECTED_164K


def draw_10k(root, name, labels, *, count=182, **others):
    path = root / "annotations" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = np.array([f"name {number}" for number in range(count)], dtype=object).reshape(-1, 1)
    savemat(path, {"S": labels, "names": names, "captions": names[:5], **others}, do_compression=True)
    draw_image(root / "images" / f"{name}.jpg", labels)


FIRST, SECOND, THIRD = (f"COCO_train2014_000000000{number}" for number in ("077", "113", "127"))


@pytest.fixture
def root_10k(tmp_path):
    """The files hold float64, as the publisher's MATLAB writes them."""
    draw_10k(tmp_path, FIRST, np.array(USED, np.float64).reshape(9, 19))
    draw_10k(tmp_path, SECOND, np.array([[0.0, 182.0], [1.0, 92.0]]))
    draw_10k(tmp_path, THIRD, np.array([[0, 7]], np.uint8))
    for name, frames in (("train", [FIRST, THIRD]), ("test", [SECOND]), ("all", [FIRST, SECOND, THIRD])):
        write_list(tmp_path / f"imageLists/{name}.txt", *frames)
    return tmp_path


def test_10k(root_10k):
    assert decoded(root_10k, "coco_stuff", version="10k") == {
        "train": {FIRST: np.arange(171).reshape(9, 19).tolist(), THIRD: [[255, 6]]},
        "val": {SECOND: [[255, 170], [0, 80]]},  # id 92, banner, is the first of stuff: 80 things stand before it
    }


def test_names_of_both_versions():
    for version, offset in (("164k", 1), ("10k", 0)):
        labels = load_dataset("coco_stuff").labels({"version": version})
        assert [item.values for item in labels.classes] == [(number - offset,) for number in USED]
        by_id = {item.values[0] + offset: item.name for item in labels.classes}
        assert [by_id[number] for number in (1, 11, 13, 25, 27, 65, 67, 90)] == [
            "person", "fire hydrant", "stop sign", "giraffe", "backpack", "bed", "dining table", "toothbrush",
        ]  # fmt: skip
        assert [by_id[number] for number in (92, 110, 112, 133, 157, 182)] == [
            "banner", "desk-stuff", "door-stuff", "mirror-stuff", "sky-other", "wood",
        ]  # fmt: skip
        assert len(set(by_id.values())) == 171


def test_the_colors_are_those_of_classes_without_any():
    assert [item.color for item in load_dataset("coco_stuff").labels().classes] == default_colors(171)


def test_an_id_that_is_never_used(tmp_path):
    draw_164k(tmp_path)
    draw(tmp_path / "annotations/val2017/000000000139.png", [[11, 11, 0]])  # id 12, street sign
    assert error_of(lambda root: decoded(root, "coco_stuff"), tmp_path) == (
        "R/annotations/val2017/000000000139.png: no class claims value 11 (2 pixels); assign it to a class in "
        "data.classes, like {name: .., value: 11}, or write data.ignore_values: [11]"
    )


def test_a_mask_that_is_missing(tmp_path):
    draw_164k(tmp_path)
    draw_image(tmp_path / "images/train2017/000000000025.jpg", [[0]])
    assert error_of(read, tmp_path) == (
        "data (train): 1 of 2 images have no mask in 'R/annotations/train2017/*[0-9].png': "
        "R/images/train2017/000000000025.jpg"
    )


def test_the_annotations_of_coco_are_none(tmp_path):
    draw_164k(tmp_path, masks="elsewhere")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_train2017.json").touch()
    assert error_of(read, tmp_path) == (
        "data (train).masks: R/annotations/train2017 does not exist; R/annotations contains: instances_train2017.json"
    )


def test_the_folder_above(tmp_path):
    draw_164k(tmp_path / "coco")
    assert error_of(read, tmp_path) == ("data.root: R has no images/train2017, but R/coco has; write data.root: R/coco")


def test_a_listed_annotation_that_is_missing(root_10k):
    (root_10k / "annotations" / f"{THIRD}.mat").unlink()
    assert error_of(read, root_10k, version="10k") == (
        f"R/imageLists/train.txt:2: mask R/annotations/{THIRD}.mat does not exist; "
        "1 of the 2 masks in this list are missing"
    )


def broken(path):
    path.write_bytes(path.read_bytes()[:300])


BROKEN = {
    "cut off": (broken, "cannot be read as a MAT file: could not read bytes; is the file complete?"),
    "empty": (
        lambda path: path.write_bytes(b""),
        "cannot be read as a MAT file: Mat file appears to be truncated; is the file complete?",
    ),
    "without S": (
        lambda path: savemat(path, {"T": np.zeros((2, 2))}),
        "has no label map S; is it from cocostuff-10k-v1.1.zip, and complete?",
    ),
    "version 1.0": (
        lambda path: draw_10k(path.parent.parent, path.stem, np.ones((2, 2)), count=172),
        "has version 1.0, with different ids; use annotations/ of cocostuff-10k-v1.1.zip",
    ),
    "no whole numbers": (
        lambda path: savemat(path, {"S": np.array([[0.5, np.nan]])}),
        "S is not a label map but float64 of shape (1, 2); expected HW integers",
    ),
    "a stack of maps": (
        lambda path: savemat(path, {"S": np.zeros((2, 2, 3), np.uint8)}),
        "S is not a label map but uint8 of shape (2, 2, 3); expected HW integers",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_annotations_that_are_broken(case, root_10k):
    damage, text = BROKEN[case]
    path = root_10k / "annotations" / f"{SECOND}.mat"
    damage(path)
    given = error_of(lambda root: decoded(root, "coco_stuff", version="10k"), root_10k)
    assert given == f"R/annotations/{SECOND}.mat: {text}"


def test_colors_are_no_ids(root_10k):
    path = f"{root_10k}/annotations/{FIRST}.mat"
    text = error_of(lambda _: masks.read_coco_stuff(path, as_color=True), root_10k)
    assert text == (
        f"R/annotations/{FIRST}.mat: contains ids, not colors; write the value of every class in data.classes"
    )
