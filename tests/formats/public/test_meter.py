"""The meter dataset, drawn in its published layout."""

import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of

read = reader("meter")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "meter_seg"
    for split, number, mask in (("train", 105, [[0, 1], [2, 0]]), ("train", 106, [[2, 2]]), ("val", 110, [[1, 0]])):
        draw_image(folder / f"images/{split}/{number}.jpg", mask)
        draw(folder / f"annotations/{split}/{number}.png", mask)
        with (folder / f"{split}.txt").open("a") as lines:
            lines.write(f"images/{split}/{number}.jpg annotations/{split}/{number}.png\n")
    (folder / "labels.txt").write_text("background\npointer\nscale\n")
    return folder


def test_every_value(root):
    assert decoded(root, "meter") == {
        "train": {"images/train/105": [[0, 1], [2, 0]], "images/train/106": [[2, 2]]},
        "val": {"images/val/110": [[1, 0]]},
    }
    assert [item.name for item in load_dataset("meter").labels().classes] == ["background", "pointer", "scale"]


def test_the_folder_that_the_archive_was_unpacked_in(root):
    assert error_of(read, root.parent) == (
        "data.root: R has no train.txt, but R/meter_seg has; write data.root: R/meter_seg"
    )


def test_a_mask_that_is_not_there(root):
    (root / "annotations/train/106.png").unlink()
    assert error_of(read, root) == (
        "R/train.txt:2: mask R/annotations/train/106.png does not exist; 1 of the 2 masks in this list are missing"
    )
