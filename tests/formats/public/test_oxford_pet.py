import numpy as np
import pytest
from PIL import Image

from segtrain.formats.public import masks
from segtrain.images.reading import read_image
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names, touch, write_list

read = reader("oxford_pet")

TRIMAPS = {
    "Abyssinian_100": [[2, 3, 1], [2, 3, 1]],
    "american_bulldog_10": [[1, 1], [3, 2]],
    "Bombay_7": [[3, 3, 3]],
    "pug_1": [[2, 2], [2, 2]],
    "yorkshire_terrier_99": [[1, 3, 2, 2]],
}
TRAINVAL, TEST = ["pug_1", "Abyssinian_100", "Bombay_7", "american_bulldog_10"], ["yorkshire_terrier_99"]


@pytest.fixture
def root(tmp_path):
    """A drawn dataset with what the published one has besides: hidden files, .mat files, images in no list."""
    folder = tmp_path / "oxford-iiit-pet"
    for name, trimap in TRIMAPS.items():
        draw_image(folder / "images" / f"{name}.jpg", trimap)
        draw(folder / "annotations/trimaps" / f"{name}.png", trimap)
    touch(folder, "annotations/trimaps/._pug_1.png", "images/Abyssinian_100.mat", "images/pug_2.jpg")
    write_list(folder / "annotations/trainval.txt", *(f"{name} 1 2 3" for name in TRAINVAL))
    write_list(folder / "annotations/test.txt", *(f"{name} 37 2 25" for name in TEST))
    return folder


def test_the_published_lists_and_a_validation_set_of_one(root):
    splits = read(root, val_fraction=0.25)
    found = names(splits)
    assert found["trainval"] == TRAINVAL and found["test"] == TEST
    assert len(found["train"]) == 3 and len(found["val"]) == 1
    assert sorted(found["train"] + found["val"]) == sorted(TRAINVAL)
    assert files(root, splits["test"]) == [
        ("images/yorkshire_terrier_99.jpg", "annotations/trimaps/yorkshire_terrier_99.png")
    ]
    assert names(read(root, val_fraction=0.25)) == found
    assert len({tuple(names(read(root, val_fraction=0.25, seed=seed))["val"]) for seed in range(8)}) > 1


BORDERS = {
    "class": {
        "Abyssinian_100": [[1, 2, 0], [1, 2, 0]],
        "american_bulldog_10": [[0, 0], [2, 1]],
        "Bombay_7": [[2, 2, 2]],
        "pug_1": [[1, 1], [1, 1]],
    },
    "ignore": {
        "Abyssinian_100": [[0, 255, 1], [0, 255, 1]],
        "american_bulldog_10": [[1, 1], [255, 0]],
        "Bombay_7": [[255, 255, 255]],
        "pug_1": [[0, 0], [0, 0]],
    },
    "pet": {
        "Abyssinian_100": [[0, 1, 1], [0, 1, 1]],
        "american_bulldog_10": [[1, 1], [1, 0]],
        "Bombay_7": [[1, 1, 1]],
        "pug_1": [[0, 0], [0, 0]],
    },
    "background": {
        "Abyssinian_100": [[0, 0, 1], [0, 0, 1]],
        "american_bulldog_10": [[1, 1], [0, 0]],
        "Bombay_7": [[0, 0, 0]],
        "pug_1": [[0, 0], [0, 0]],
    },
}


@pytest.mark.parametrize("border", BORDERS)
def test_every_pixel_with_every_meaning_of_the_border(border, root):
    config = data_config(format="oxford_pet", root=root, border=border)
    assert config.class_names == (["pet", "background", "border"] if border == "class" else ["background", "pet"])
    assert decode(config, read(root, border=border)["trainval"]) == BORDERS[border]


def test_the_border_is_a_class_by_default(root):
    config = data_config(format="oxford_pet", root=root)
    assert decode(config, read(root)["trainval"]) == BORDERS["class"]


def test_a_trimap_as_colors(root):
    path = f"{root}/annotations/trimaps/american_bulldog_10.png"
    assert masks.read_trimap(path, as_color=True).tolist() == [[[1] * 3, [1] * 3], [[3] * 3, [2] * 3]]


def test_images_that_are_no_jpeg(root):
    """Some of the published files called .jpg are GIF or PNG."""
    path = root / "images" / "pug_1.jpg"
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    for kind in ("GIF", "PNG"):
        picture.save(path, format=kind)
        sample = read(root)["trainval"][0]
        assert read_image(sample.image).tolist() == [
            [[10, 20, 30], [200, 100, 50]],
            [[200, 100, 50], [10, 20, 30]],
        ]


def test_no_test_list(root):
    (root / "annotations/test.txt").unlink()
    assert sorted(read(root)) == ["train", "trainval", "val"]


def test_what_is_wrong(root):
    above = error_of(read, root.parent)
    assert above == "data.root: R has no images, but R/oxford-iiit-pet has; write data.root: R/oxford-iiit-pet"
    below = error_of(read, root / "annotations")
    assert below == f"data.root: R has no images, but {root} has; write data.root: {root}"
    (root / "images/Bombay_7.jpg").unlink()
    assert error_of(read, root) == (
        "R/annotations/trainval.txt:3: image R/images/Bombay_7.jpg does not exist; 1 of the 4 images in this list are "
        "missing"
    )
    write_list(root / "annotations/trainval.txt", "pug_1 1 1 1", "pug_1 1 1 1")
    assert error_of(read, root) == ("R/annotations/trainval.txt:2: pug_1 is already in line 1; remove one of them")
