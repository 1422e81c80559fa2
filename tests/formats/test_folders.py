"""Folders of images and masks, and globs."""

import os

import pytest

from segtrain.formats import folders
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import error_of, names, pairs, touch


@pytest.fixture
def root(tmp_path):
    """An empty folder `set` with a method to fill it with empty files: pairing opens none of them."""
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def test_folders_pair_by_path_whatever_the_suffixes(root):
    touch(root, "train/images/a.jpg", "train/images/b.PNG", "train/images/deep/a.tif", "train/images/.hidden.png")
    touch(root, "train/masks/a.png", "train/masks/b.npy", "train/masks/deep/a.png", "train/masks/notes.txt")
    touch(root, "val/images/a.v2.jpg", "val/masks/a.v2.png")
    assert pairs(root, folders.read(root)) == {
        "train": {
            "a": ("train/images/a.jpg", "train/masks/a.png"),
            "b": ("train/images/b.PNG", "train/masks/b.npy"),
            "deep/a": ("train/images/deep/a.tif", "train/masks/deep/a.png"),
        },
        "val": {"a.v2": ("val/images/a.v2.jpg", "val/masks/a.v2.png")},
    }


GLOBS = {
    "a city each": (
        ["train/x/1_image.png", "train/y/1_image.png"],
        ["annotation/x/1_label.png", "annotation/y/1_label.png"],
        {"images": "train/*/*_image.png", "masks": "annotation/*/*_label.png"},
        {"image_suffix": "_image", "mask_suffix": "_label"},
        ["x/1", "y/1"],
    ),
    "folders of images and masks below each scene": (
        ["x/images/1.jpg", "y/images/1.jpg"],
        ["x/masks/1.png", "y/masks/1.png"],
        {"images": "*/images/*.jpg", "masks": "*/masks/*.png"},
        {},
        ["x/1", "y/1"],
    ),
    "side by side": (
        ["1.jpg", "2.jpg"],
        ["1_mask.png", "2_mask.png"],
        {"images": "*.jpg", "masks": "*_mask.png"},
        {"mask_suffix": "_mask"},
        ["1", "2"],
    ),
    "any depth": (
        ["i/1.jpg", "i/x/y/2.jpg"],
        ["m/1.png", "m/x/y/2.png"],
        {"images": "i/**/*.jpg", "masks": "m/**/*.png"},
        {},
        ["1", "x/y/2"],
    ),
}


@pytest.mark.parametrize("case", GLOBS)
def test_globs(case, root):
    images, masks, patterns, suffixes, names = GLOBS[case]
    touch(root, *images, *masks)
    splits = folders.read(root, **patterns, **suffixes, val_fraction=0.5)
    found = pairs(root, splits)
    assert len(found["train"]) == len(found["val"]) == 1
    assert found["train"] | found["val"] == dict(zip(names, zip(images, masks, strict=True), strict=True))


def test_a_share_is_held_out_by_name_and_seed(root):
    touch(root, *(f"i/{n}.png" for n in range(20)), *(f"m/{n}.png" for n in range(20)))

    def held_out(seed, fraction=0.25):
        splits = pairs(root, folders.read(root, images="i", masks="m", val_fraction=fraction, seed=seed))
        assert not splits["train"].keys() & splits["val"].keys()
        assert len(splits["train"] | splits["val"]) == len(list((root / "i").iterdir()))
        return set(splits["val"])

    first = held_out(0)
    assert len(first) == 5 and held_out(0) == first != held_out(1)
    assert len(held_out(0, 0.001)) == 1 and len(held_out(0, 0.999)) == 19
    touch(root, "i/extra.png", "m/extra.png")
    assert len(held_out(0) & first) >= 4  # one more image moves one place at most


FOLDER_MISTAKES = {
    "an image without a mask": (
        ["i/a.jpg", "i/b.jpg", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: 1 of 2 images have no mask in R/m: R/i/b.jpg",
    ),
    "many images without masks": (
        [*(f"i/{n}.jpg" for n in range(6)), "m/0.png"],
        {"images": "i", "masks": "m"},
        "data: 5 of 6 images have no mask in R/m: R/i/1.jpg, R/i/2.jpg, R/i/3.jpg and 2 more",
    ),
    "a mask without an image": (
        ["i/a.jpg", "m/a.png", "m/b.png"],
        {"images": "i", "masks": "m"},
        "data: 1 of 2 masks have no image in R/i: R/m/b.png",
    ),
    "two images of one name": (
        ["i/a.jpg", "i/a.png", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data.images: R/i/a.jpg and R/i/a.png have the same name; remove or rename one of them",
    ),
    "no images": (
        ["i/readme.txt", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: no images in R/i; known suffixes: .avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .npy .pgm .png .pnm .ppm "
        ".tif .tiff .webp",
    ),
    "a folder that is not there": (
        ["imgs/a.jpg", "masks/a.png"],
        {"images": "images", "masks": "masks"},
        "data.images: R/images does not exist; R contains: imgs, masks",
    ),
    "a split's folder that is not there": (
        ["t/i/a.jpg", "t/m/a.jpg"],
        {"images": {"train": "t/i", "val": "v/i"}, "masks": {"train": "t/m", "val": "v/m"}},
        "data (val).images: R/v/i does not exist; R contains: t",
    ),
    "a folder for one and splits for the other": (
        ["i/a.jpg"],
        {"images": "i"},
        "data.images, data.masks: write a folder for each, or {train: folder, val: folder} for each",
    ),
    "one sample alone": (
        ["i/a.jpg", "m/a.png"],
        {"images": "i", "masks": "m"},
        "data: 1 sample cannot be split into training and validation; data.tile divides a large image",
    ),
    "a share of more than all": (
        ["i/a.jpg", "m/a.png"],
        {"images": "i", "masks": "m", "val_fraction": 1.5},
        "data.val_fraction: expected a share between 0 and 1, not 1.5",
    ),
}


@pytest.mark.parametrize("case", FOLDER_MISTAKES)
def test_folders_that_are_wrong(case, root):
    files, arguments, text = FOLDER_MISTAKES[case]
    touch(root, *files)
    assert error_of(folders.read, root, **arguments) == text


DEPTHS = {
    "masks beside the folders of the images": (["i/x/1.jpg", "i/y/2.jpg"], ["m/1.png", "m/2.png"], ["x/1", "y/2"]),
    "masks a folder deeper": (["i/1.jpg", "i/2.jpg"], ["m/png/1.png", "m/png/2.png"], ["1", "2"]),
    "a folder between": (["i/x/rgb/1.jpg", "i/y/rgb/2.jpg"], ["m/x/1.png", "m/y/2.png"], ["x/rgb/1", "y/rgb/2"]),
    "a folder above": (["i/s/x/1.jpg", "i/s/x/2.jpg"], ["m/x/1.png", "m/x/2.png"], ["s/x/1", "s/x/2"]),
    "some of them": (["i/1.jpg", "i/x/2.jpg"], ["m/1.png", "m/2.png"], ["1", "x/2"]),
    "both ways": (["i/1.jpg", "i/x/2.jpg"], ["m/x/1.png", "m/2.png"], ["1", "x/2"]),
}


@pytest.mark.parametrize("case", DEPTHS)
def test_images_one_folder_deeper_or_shallower_than_their_masks(case, root):
    images, masks, keys = DEPTHS[case]
    touch(root, *images, *masks)
    found = pairs(root, folders.read(root, images="i", masks="m", val_fraction=0.5))
    wanted = dict(zip(keys, zip(images, sorted(masks, key=lambda mask: mask[-5]), strict=True), strict=True))
    assert found["train"] | found["val"] == wanted


AMBIGUOUS = {
    "two images for a mask": (["i/x/1.jpg", "i/y/1.jpg"], ["m/1.png"], "is 1.png the mask of x/1.jpg?"),
    "two masks for an image": (["i/1.jpg"], ["m/x/1.png", "m/y/1.png"], "is x/1.png the mask of 1.jpg?"),
    "another pair of the name": (["i/x/1.jpg", "i/1.jpg"], ["m/x/1.png", "m/y/1.png"], "is y/1.png the mask of 1.jpg?"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_name_that_others_have_too_is_not_guessed(case, root):
    images, masks, text = AMBIGUOUS[case]
    touch(root, *images, *masks)
    assert error_of(folders.read, root, images="i", masks="m") == (
        f"R/m: {text} several files have this name; put the masks into the same folders as the images"
    )


def test_two_folders_deeper_or_beside_is_another_image(root):
    touch(root, "i/x/y/1.jpg", "m/1.png", "i/x/2.jpg", "m/z/2.png")
    assert error_of(folders.read, root, images="i", masks="m") == (
        "data: 2 of 2 images have no mask in R/m: R/i/x/2.jpg, R/i/x/y/1.jpg"
    )


def test_layers_one_folder_deeper(root):
    touch(root, "i/x/1.jpg", "i/x/2.jpg", "a/1.png", "b/1.png", "b/x/2.png")
    classes = data_config(root=root, classes=["a", "b"], multilabel=True).classes
    keys = {"images": "i", "masks": "{class}", "missing_masks": "empty", "val_fraction": 0.5}
    found = [sample for samples in folders.read(root, classes=classes, **keys).values() for sample in samples]
    assert {sample.name: sample.mask.replace(str(root), "R") for sample in found} == {
        "x/1": "R/a/1.png\nR/b/1.png",
        "x/2": "\nR/b/x/2.png",
    }


def test_names_that_are_not_utf_8_or_have_a_line_break(root):
    name = os.fsdecode(b"\xe4")
    touch(root, f"i/{name}.jpg", f"m/{name}.png", "i/a.jpg", "m/a.png")
    found = pairs(root, folders.read(root, images="i", masks="m"))
    assert (found["train"] | found["val"])[name] == (f"i/{name}.jpg", f"m/{name}.png")
    touch(root, "m/b\nc.png")
    assert error_of(folders.read, root, images="i", masks="m") == (
        "data.masks: 'R/m/b\\nc.png' has a tab or a line break in its name; rename it"
    )


def test_a_root_that_is_not_there(root):
    for read in (folders.read, reader("camvid")):
        assert error_of(read, root / "nothing") == f"data.root: R does not exist; {root} contains: nothing"


def test_splits_that_are_not_there_are_skipped(root):
    touch(root, "t/i/a.jpg", "t/m/a.png", "v/m/b.png")
    (root / "v/i").mkdir()
    places = {"images": {"train": "t/i", "val": "v/i"}, "masks": {"train": "t/m", "val": "v/m"}}
    assert names(folders.read(root, **places, missing_splits="skip")) == {"train": ["a"]}
    assert error_of(folders.read, root, **places).startswith("data (val): no images in R/v/i; known suffixes")
    (root / "t/i/a.jpg").unlink()
    (root / "t/i").rmdir()
    assert error_of(folders.read, root, **places, missing_splits="skip") == (
        "data (train).images: R/t/i does not exist; R/t contains: m"
    )


def test_a_share_of_train_is_held_out_in_groups(root):
    touch(root, *(f"{kind}/{drive}-{n}.png" for kind in "im" for drive in "abcd" for n in range(3)))
    touch(root, "x/1.png", "y/1.png")
    places = {"images": {"train": "i", "test": "x"}, "masks": {"train": "m", "test": "y"}}
    assert list(folders.read(root, **places)) == ["train", "test"]
    splits = names(folders.read(root, **places, val_fraction=0.25, val_groups="^[^-]+"))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [9, 3, 1]
    assert len({name.partition("-")[0] for name in splits["val"]}) == 1


def test_several_endings_and_the_first_folder_that_is_there(root):
    touch(root, "new/a_rgb.jpg", "new/b.jpg", "m/a_mask.png", "m/b_label.png", "m/notes.txt")
    keys = {"image_suffix": ["_rgb", ""], "mask_suffix": ["_mask", "_label"], "val_fraction": 0.5}
    splits = folders.read(root, images=["old", "new"], masks="m", **keys)
    assert sorted(name for split in names(splits).values() for name in split) == ["a", "b"]
    assert error_of(folders.read, root, images=["old", "older"], masks="m", **keys) == (
        "data.images: R/old does not exist; R contains: m, new"
    )
    assert error_of(folders.read, root, images="new", masks="m", mask_suffix="_x") == (
        "data: no masks in R/m whose names end in _x"
    )
