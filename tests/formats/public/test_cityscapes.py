"""Cityscapes, drawn in its published layout."""

import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import draw, draw_image, error_of

read = reader("cityscapes")

# id -> trainId of all 34 labels that masks hold, from helpers/labels.py of cityscapesScripts
TRAIN_IDS = [255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5]
TRAIN_IDS += [255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18]


def draw_frame(root, split, frame, mask, *, kind="gtFine", masks="labelIds"):
    city = frame.partition("_")[0]
    draw_image(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png", mask)
    draw(root / kind / split / city / f"{frame}_{kind}_{masks}.png", mask)


@pytest.fixture
def root(tmp_path):
    """Two cities, fine and coarse, with the other files that the archives hold."""
    folder = tmp_path / "set"
    draw_frame(folder, "train", "aachen_000000_000019", [list(range(17)), list(range(17, 34))])
    draw_frame(folder, "train", "bochum_000000_000313", [[26, 255]])
    draw_frame(folder, "val", "munster_000000_000019", [[7, 33]])
    draw_frame(folder, "test", "berlin_000000_000019", [[0, 1, 2, 3]])
    for path in [*folder.glob("gtFine/*/*/*.png")]:
        for other in ("color.png", "instanceIds.png", "polygons.json"):
            path.with_name(path.name.replace("labelIds.png", other)).touch()
    draw_frame(folder, "train", "aachen_000000_000019", [[7, 0]], kind="gtCoarse")
    draw_frame(folder, "train", "bochum_000000_000313", [[0, 33]], kind="gtCoarse")
    draw_frame(folder, "val", "munster_000000_000019", [[7, 1]], kind="gtCoarse")
    draw_frame(folder, "train_extra", "augsburg_000000_000000", [[8, 21]], kind="gtCoarse")
    return folder


def test_every_label_id(root):
    assert decoded(root, "cityscapes") == {
        "train": {
            "aachen/aachen_000000_000019": [TRAIN_IDS[:17], TRAIN_IDS[17:]],
            "bochum/bochum_000000_000313": [[13, 255]],
        },
        "val": {"munster/munster_000000_000019": [[0, 18]]},
    }


def test_coarse_masks_have_one_split_more(root):
    assert decoded(root, "cityscapes", annotations="coarse") == {
        "train": {"aachen/aachen_000000_000019": [[0, 255]], "bochum/bochum_000000_000313": [[255, 18]]},
        "val": {"munster/munster_000000_000019": [[0, 255]]},
        "train_extra": {"augsburg/augsburg_000000_000000": [[1, 8]]},
    }


def test_coarse_masks_without_the_extra_images(root):
    for path in [*(root / "leftImg8bit/train_extra").rglob("*.png")]:
        path.unlink()
    (root / "leftImg8bit/train_extra/augsburg").rmdir()
    assert list(decoded(root, "cityscapes", annotations="coarse")) == ["train", "val"]
    (root / "leftImg8bit/train_extra").rmdir()
    assert list(decoded(root, "cityscapes", annotations="coarse")) == ["train", "val"]


def test_train_ids(tmp_path):
    draw_frame(tmp_path, "train", "aachen_000000_000019", [[*range(19), 255]], masks="labelTrainIds")
    draw_frame(tmp_path, "val", "munster_000000_000019", [[255, 18]], masks="labelTrainIds")
    assert decoded(tmp_path, "cityscapes", masks="labelTrainIds") == {
        "train": {"aachen/aachen_000000_000019": [[*range(19), 255]]},
        "val": {"munster/munster_000000_000019": [[255, 18]]},
    }


@pytest.mark.parametrize("masks", ["labelIds", "labelTrainIds"])
def test_the_published_names_and_colors(masks):
    classes = load_dataset("cityscapes").labels({"masks": masks}).classes
    assert [item.name for item in classes] == [
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip
    assert classes[0].color == (128, 64, 128) and classes[18].color == (119, 11, 32)
    assert len({item.color for item in classes}) == 19


def drop(root, pattern):
    for path in [*root.glob(pattern)]:
        path.unlink()


MISTAKES = {
    "one mask is missing": (
        "gtFine/train/bochum/*",
        {},
        "data (train): 1 of 2 images have no mask in R/gtFine/train: "
        "R/leftImg8bit/train/bochum/bochum_000000_000313_leftImg8bit.png",
    ),
    "one image is missing": (
        "leftImg8bit/train/bochum/*",
        {},
        "data (train): 1 of 2 masks have no image in R/leftImg8bit/train: "
        "R/gtFine/train/bochum/bochum_000000_000313_gtFine_labelIds.png",
    ),
    "polygons alone": (
        "gtFine/*/*/*_labelIds.png",
        {},
        "data (train): no masks in R/gtFine/train whose names end in _gtFine_labelIds or _gtCoarse_labelIds",
    ),
    "no train ids": (
        "",
        {"masks": "labelTrainIds"},
        "data (train): no masks in R/gtFine/train whose names end in _gtFine_labelTrainIds or _gtCoarse_labelTrainIds",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_missing(case, root):
    dropped, keys, text = MISTAKES[case]
    drop(root, dropped or "nothing")
    assert error_of(read, root, **keys) == text


def test_a_root_one_folder_too_deep_or_too_high(root):
    assert error_of(read, root / "gtFine") == (
        f"data.root: R has no leftImg8bit/train, but {root} has; write data.root: {root}"
    )
    assert error_of(read, root.parent) == (
        "data.root: R has no leftImg8bit/train, but R/set has; write data.root: R/set"
    )


def test_an_id_that_is_none(root):
    draw(root / "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png", [[7, 34]])
    mask = "R/gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png"
    assert error_of(lambda root: decoded(root, "cityscapes"), root) == (
        f"{mask}: no class claims value 34 (1 pixels); assign it to a class in data.classes, like "
        f"{{name: .., value: 34}}, or write data.ignore_values: [34]"
    )
