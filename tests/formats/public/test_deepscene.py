"""Freiburg Forest, drawn in its published layout."""

import pytest

from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of

read = reader("deepscene")

ROAD, GRASS, VEGETATION = [170, 170, 170], [0, 255, 0], [102, 102, 51]
TREE, SKY, OBSTACLE, VOID = [0, 60, 0], [0, 120, 255], [0, 0, 0], [255, 255, 255]
ALL = [[ROAD, GRASS, VEGETATION, TREE], [SKY, OBSTACLE, VOID, ROAD]]


def draw_frame(root, split, frame, pixels, *, suffix):
    draw_image(root / split / "rgb" / f"{frame}_Clipped.jpg", [[0] * len(row) for row in pixels])
    draw(root / split / "GT_color" / f"{frame}{suffix}.png", pixels)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    for frame in ("b10-495", "b1-99445", "b102-798", "b60-607"):
        draw_frame(folder, "train", frame, ALL, suffix="_mask")
    draw_frame(folder, "test", "b1-09517", [[SKY, TREE]], suffix="_Clipped")
    draw_frame(folder, "test", "b2-1", [[ROAD, VOID]], suffix="_mask")
    draw(folder / "train/nir_gray/b10-495.png", [[0, 0]])
    return folder


def test_every_color(root):
    splits = decoded(root, "deepscene", val_fraction=0.25)
    assert {split: len(masks) for split, masks in splits.items()} == {"train": 3, "val": 1, "test": 2}
    frames = ("b10-495", "b1-99445", "b102-798", "b60-607")
    assert splits["train"] | splits["val"] == {frame: [[0, 1, 2, 3], [4, 5, 255, 0]] for frame in frames}
    assert splits["test"] == {"b1-09517": [[4, 3]], "b2-1": [[0, 255]]}


def test_trees_as_vegetation_as_the_readme_has_it(root):
    colors = {"road": [ROAD], "grass": [GRASS], "vegetation": [VEGETATION, TREE], "sky": [SKY], "obstacle": [OBSTACLE]}
    classes = [{"name": name, "colors": shades} for name, shades in colors.items()]
    splits = decoded(root, "deepscene", classes=classes, ignore_values=[VOID])
    assert splits["test"] == {"b1-09517": [[3, 2]], "b2-1": [[0, 255]]}


def test_neighboring_frames_are_never_parted(tmp_path):
    for second in range(8):
        for frame in range(3):
            draw_frame(tmp_path, "train", f"b{second}-{frame}", [[ROAD]], suffix="_mask")
    for seed in range(5):
        splits = read(tmp_path, val_fraction=0.3, seed=seed)
        seconds = {split: {sample.name.partition("-")[0] for sample in samples} for split, samples in splits.items()}
        assert not seconds["train"] & seconds["val"] and len(seconds["train"] | seconds["val"]) == 8
        assert len(splits["val"]) == 6  # nearer to 30 % of 24 than 9


MISTAKES = {
    "no mask": (
        "train/GT_color/b10-495_mask.png",
        "data (train): 1 of 4 images have no mask in R/train/GT_color: R/train/rgb/b10-495_Clipped.jpg",
    ),
    "no image": (
        "test/rgb/b2-1_Clipped.jpg",
        "data (test): 1 of 2 masks have no image in R/test/rgb: R/test/GT_color/b2-1_mask.png",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_frame_without_partner(case, root):
    dropped, text = MISTAKES[case]
    (root / dropped).unlink()
    assert error_of(read, root) == text


def test_two_masks_of_a_frame(root):
    draw(root / "train/GT_color/b10-495_Clipped.png", ALL)
    folder = "R/train/GT_color"
    assert error_of(read, root) == (
        f"data (train).masks: {folder}/b10-495_Clipped.png and {folder}/b10-495_mask.png have the same name; remove "
        f"or rename one of them"
    )


def test_a_root_one_folder_too_deep_or_too_high(root):
    assert error_of(read, root.parent) == ("data.root: R has no train/rgb, but R/set has; write data.root: R/set")
    assert error_of(read, root / "train") == f"data.root: R has no train/rgb, but {root} has; write data.root: {root}"
