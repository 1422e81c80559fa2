"""CamVid, drawn in both of its layouts."""

import pytest

from segtrain.data.splits import read_splits
from tests.formats.format_reading import data_config, decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of, names, touch

read = reader("camvid")


@pytest.fixture
def root(tmp_path):
    """The version with indices, without a test split."""
    folder = tmp_path / "set"
    for split, masks in (("train", [[0, 1], [2, 3], [4, 5]]), ("val", [[6, 7, 8], [9, 10, 11]])):
        for index, mask in enumerate(masks):
            draw_image(folder / split / f"{index}.png", [mask])
            draw(folder / f"{split}annot" / f"{index}.png", [mask])
    return folder


def test_every_index(root):
    assert decoded(root, "camvid") == {
        "train": {"0": [[0, 1]], "1": [[2, 3]], "2": [[4, 5]]},
        "val": {"0": [[6, 7, 8]], "1": [[9, 10, 255]]},
    }


def test_a_test_split_is_read_where_it_is_there(root):
    assert names(read(root)) == {"train": ["0", "1", "2"], "val": ["0", "1"]}
    touch(root, "test/0.png", "testannot/0.png")
    assert names(read_splits(data_config(format="camvid", root=root), seed=0))["test"] == ["0"]


def test_what_is_missing(root):
    (root / "valannot" / "1.png").unlink()
    assert error_of(read, root) == "data (val): 1 of 2 images have no mask in R/valannot: R/val/1.png"
    assert error_of(read, root.parent) == "data.root: R has no train, but R/set has; write data.root: R/set"


FRAMES = {
    "0001TP_006690": "train",
    "0001TP_008520": "train",
    "0001TP_008550": "test",
    "0006R0_f00930": "train",
    "0016E5_07959": "val",
    "0016E5_08159": "val",
    "0016E5_08190": "train",
    "Seq05VD_f00000": "test",
}
ARCHWAY, VOID, LANE, SKY, ANIMAL = [192, 0, 128], [0, 0, 0], [128, 0, 192], [128, 128, 128], [64, 128, 64]


def test_colors_in_the_same_split(tmp_path):
    for name in FRAMES:
        draw_image(tmp_path / "701_StillsRaw_full" / f"{name}.png", [[0] * 5])
        draw(tmp_path / "LabeledApproved_full" / f"{name}_L.png", [[ARCHWAY, VOID, LANE, SKY, ANIMAL]])
    splits = decoded(tmp_path, "camvid", version="full")
    assert {name: split for split, masks in splits.items() for name in masks} == FRAMES
    assert all(mask == [[1, 255, 3, 0, 9]] for masks in splits.values() for mask in masks.values())


def test_a_name_that_is_not_a_frame(tmp_path):
    touch(tmp_path, "701_StillsRaw_full/x.png", "LabeledApproved_full/x_L.png")
    assert error_of(read, tmp_path, version="full") == (
        "data: x is not a frame of CamVid; its names are like 0016E5_07959"
    )
