import pytest

from segtrain.errors import DataError
from segtrain.formats.public import masks
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names, touch

read = reader("sbu_shadow")

TRAIN, TEST = "SBUTrain4KRecoveredSmall", "SBU-Test"
MASKS = {
    f"{TRAIN}/lssd1": [[0, 0, 255], [0, 255, 255]],
    f"{TRAIN}/lssd2": [[0, 1, 125], [126, 200, 255]],
    f"{TRAIN}/lssd3": [[0, 0], [0, 0]],
    f"{TRAIN}/lssd4": [[[0, 0, 0], [255, 255, 255]]],
    f"{TEST}/$_35": [[255, 0]],
    f"{TEST}/lssd1": [[0, 255]],
}
SHADOWS = {
    "lssd1": [[0, 0, 1], [0, 1, 1]],
    "lssd2": [[0, 0, 0], [1, 1, 1]],
    "lssd3": [[0, 0], [0, 0]],
    "lssd4": [[0, 1]],
}


@pytest.fixture
def root(tmp_path):
    """A drawn SBU-shadow: four training images, masks exact, smoothed, without shadow and RGB, and two to test on."""
    folder = tmp_path / "SBU-shadow"
    for name, mask in MASKS.items():
        split, stem = name.split("/")
        draw_image(folder / split / "ShadowImages" / f"{stem}.jpg", [[0] * len(row) for row in mask])
        draw(folder / split / "ShadowMasks" / f"{stem}.png", mask)
    return folder


def test_every_pixel(root):
    splits = read(root, val_fraction=0.25)
    config = data_config(format="sbu_shadow", root=root)
    assert config.mode == "binary" and config.class_names == ["background", "shadow"]
    assert decode(config, splits["train"]) | decode(config, splits["val"]) == SHADOWS
    assert decode(config, splits["test"]) == {"$_35": [[1, 0]], "lssd1": [[0, 1]]}


def test_validation_is_cut_from_the_training_images(root):
    def split(**keywords):
        splits = read(root, **keywords)
        assert names(splits)["test"] == ["$_35", "lssd1"]
        assert sorted(names(splits)["train"] + names(splits)["val"]) == ["lssd1", "lssd2", "lssd3", "lssd4"]
        for part in ("train", "val"):
            assert {image.split("/")[0] for image, _ in files(root, splits[part])} == {TRAIN}
        return names(splits)["val"]

    assert [len(split(val_fraction=share)) for share in (0.01, 0.25, 0.5, 0.75)] == [1, 1, 2, 3]
    assert split(seed=3) == split(seed=3)
    assert len({tuple(split(seed=seed)) for seed in range(8)}) > 1


def test_masks_of_another_file_type(root):
    """Flat JPEG blocks keep their gray; the name pairs them."""
    path = root / TEST / "ShadowMasks"
    (path / "lssd1.png").unlink()
    draw(path / "lssd1.jpg", [[20] * 8 + [240] * 8] * 8)
    draw_image(root / TEST / "ShadowImages" / "lssd1.jpg", [[0] * 16] * 8)
    samples = read(root)["test"]
    decoded = decode(data_config(format="sbu_shadow", root=root), samples)
    assert decoded == {"$_35": [[1, 0]], "lssd1": [[0] * 8 + [1] * 8] * 8}


def test_masks_of_zeros_and_ones_are_refused(root):
    path = root / TEST / "ShadowMasks" / "lssd1.png"
    draw(path, [[0, 1]])
    with pytest.raises(DataError) as error:
        masks.read_shadow(str(path), as_color=False)
    assert str(error.value) == (
        f"{path}: contains 0 and 1, but shadow is 255 in SBU's masks; use the published masks, or format folders with "
        "data.classes: [{name: shadow, value: 1}]"
    )


def test_a_mask_as_colors(root):
    mask = masks.read_shadow(f"{root}/{TRAIN}/ShadowMasks/lssd2.png", as_color=True)
    assert mask.tolist() == [[[0] * 3, [0] * 3, [0] * 3], [[255] * 3, [255] * 3, [255] * 3]]


def test_no_test_set_yet(root):
    (root / TEST).rename(root / "later")
    assert sorted(read(root)) == ["train", "val"]


def test_what_is_wrong(root):
    wanted = f"has no {TRAIN}/ShadowImages, but {{0}} has; write data.root: {{0}}"
    above = error_of(read, root.parent)
    assert above == f"data.root: R {wanted.format('R/SBU-shadow')}"
    below = error_of(read, root / TRAIN)
    assert below == f"data.root: R {wanted.format(root)}"
    touch(root, f"{TEST}/ShadowImages/new.jpg")
    assert error_of(read, root) == (
        f"data (test): 1 of 3 images have no mask in R/{TEST}/ShadowMasks: R/{TEST}/ShadowImages/new.jpg"
    )
