import os

import cv2
import numpy as np
import pytest
import rasterio

from segtrain.commands.demo.demo import DRAWING, draw_demo, draw_scene, draw_town_set
from segtrain.commands.demo.town import draw_town
from segtrain.errors import DataError

# In percent of all pixels, the ignored ones included, over a split of the set; in the order of their indices.
SHARES = {
    "sky": (10, 22),
    "road": (32, 46),
    "building": (17, 33),
    "tree": (5, 15),
    "pole": (0.8, 2.6),
    "car": (3, 8),
    "person": (0.5, 2),
}
IGNORED_SHARE = (1, 4)


def files_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


def test_scene_has_the_promised_arrays():
    image, mask = draw_scene(np.random.default_rng(3), 96, 144)
    assert (image.shape, image.dtype) == ((96, 144, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((96, 144), np.uint8)
    assert image.std() > 20


def test_a_generator_in_the_same_state_draws_the_same_scene_and_another_a_different_one():
    first, again, other = (draw_scene(np.random.default_rng(seed), 96, 128) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("split", [0, 1])
def test_shares_of_the_classes(split):
    masks = [draw_scene(np.random.default_rng([0, split, index]))[1] for index in range(30)]
    percent = np.bincount(np.ravel(masks), minlength=256) * 100 / np.size(masks)
    assert set(np.flatnonzero(percent)) == {*range(7), 255}
    measured = {name: round(float(share), 2) for name, share in zip(SHARES, percent, strict=False)}
    outside = {name: measured[name] for name, (low, high) in SHARES.items() if not low <= measured[name] <= high}
    assert outside == {}
    assert IGNORED_SHARE[0] <= percent[255] <= IGNORED_SHARE[1]


def test_edges_of_the_mask_lie_on_edges_of_the_image():
    def mean_step_across_edges(shift_px):
        steps = []
        for index in range(5):
            image, mask = draw_scene(np.random.default_rng([0, 0, index]))
            shifted = np.roll(mask, shift_px, axis=1)[:, 8:-8]
            step = np.abs(np.diff(image[:, 8:-8].astype(float), axis=1)).mean(axis=2)
            edge = (shifted[:, 1:] != shifted[:, :-1]) & (shifted[:, 1:] != 255) & (shifted[:, :-1] != 255)
            steps.append(step[edge].mean())
        return np.mean(steps)

    aligned = mean_step_across_edges(0)
    assert aligned > 1.5 * mean_step_across_edges(4)
    assert aligned > 1.5 * mean_step_across_edges(-4)


def test_files_on_disk_hold_the_scenes(tmp_path):
    root = tmp_path / "deep" / "demo"
    draw_demo(root, train=3, val=2, height=64, width=96, seed=5)
    assert sorted(files_of(root)) == sorted(
        f"{split}/{kind}/{index:04d}.png"
        for split, count in (("train", 3), ("val", 2))
        for kind in ("images", "masks")
        for index in range(count)
    )
    image, mask = draw_scene(np.random.default_rng([5, 1, 1]), 64, 96)
    stored = cv2.imread(str(root / "val/masks/0001.png"), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == 2 and np.array_equal(stored, mask)
    bgr = cv2.imread(str(root / "val/images/0001.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(bgr[..., ::-1], image)


def test_same_seed_same_bytes_whatever_the_count(tmp_path):
    small, large, other = tmp_path / "small", tmp_path / "large", tmp_path / "other"
    draw_demo(small, train=2, val=1, height=64, width=96)
    draw_demo(large, train=4, val=2, height=64, width=96)
    draw_demo(other, train=2, val=1, height=64, width=96, seed=1)
    larger = files_of(large)
    assert len(files_of(small)) == 6
    assert all(larger[name] == content for name, content in files_of(small).items())
    assert all(larger[name] != content for name, content in files_of(other).items())
    assert len(set(larger.values())) == len(larger)


def test_a_complete_set_is_left_as_it_is(tmp_path):
    draw_demo(tmp_path / "demo", train=1, val=1, height=64, width=96)
    touched = tmp_path / "demo/train/images/0000.png"
    touched.write_bytes(b"mine")
    draw_demo(tmp_path / "demo", train=1, val=1, height=64, width=96)
    assert touched.read_bytes() == b"mine"


@pytest.mark.parametrize("change", ["foreign folder", "file", "missing scene", "other arguments"])
def test_anything_else_is_refused_and_left_alone(tmp_path, change):
    root, seed = tmp_path / "demo", 0
    if change == "foreign folder":
        (root / "train").mkdir(parents=True)
    elif change == "file":
        root.write_text("a file")
    else:
        draw_demo(root, train=1, val=1, height=64, width=96)
    if change == "missing scene":
        (root / "val/masks/0000.png").unlink()
    if change == "other arguments":
        seed = 1
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError) as refusal:
        draw_demo(root, train=1, val=1, height=64, width=96, seed=seed)
    assert str(refusal.value) == (
        f"{root}: exists and is not this demo dataset (1 train, 1 val scenes, 96 x 64, seed {seed}, drawing "
        f"{DRAWING}); move it elsewhere or choose another folder"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    drawn = []

    def interrupt(source, target):
        drawn.extend(os.path.relpath(path, source) for path in source.rglob("*.png"))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        draw_demo(tmp_path / "demo", train=1, val=1, height=64, width=96)
    assert len(drawn) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, no folder")
    root = tmp_path / "taken" / "demo"
    with pytest.raises(DataError, match="the demo dataset cannot be written there") as refusal:
        draw_demo(root, train=1, val=1, height=64, width=96)
    assert str(refusal.value).startswith(f"{root}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_towns_have_buildings_where_their_masks_say_so():
    images, masks = zip(*(draw_town(np.random.default_rng([0, index]), 320, 320) for index in range(6)), strict=True)
    assert (images[0].shape, images[0].dtype, masks[0].dtype) == ((320, 320, 3), np.uint8, np.uint8)
    assert set(np.unique(masks)) == {0, 255}
    assert 0.1 < np.mean(np.array(masks) == 255) < 0.25
    steps = {}
    for shift_px in (-4, 0, 4):
        edges = np.diff((np.roll(masks, shift_px, axis=2) == 255).astype(int), axis=2)[:, :, 8:-8] != 0
        steps[shift_px] = np.abs(np.diff(np.array(images, float), axis=2)).mean(axis=3)[:, :, 8:-8][edges].mean()
    assert steps[0] > 2 * max(steps[-4], steps[4])


def test_towns_are_geotiffs_side_by_side_in_utm(tmp_path):
    draw_town_set(tmp_path / "town", labeled=2, side=96)
    names = ["images/town0.tif", "images/town1.tif", "masks/town0.tif", "masks/town1.tif", "new/town2.tif"]
    assert sorted(path.relative_to(tmp_path / "town").as_posix() for path in tmp_path.rglob("*.tif")) == names
    with (
        rasterio.open(tmp_path / "town/images/town1.tif") as image,
        rasterio.open(tmp_path / "town/masks/town1.tif") as mask,
    ):
        assert image.crs == mask.crs == "EPSG:32633"
        assert image.bounds == mask.bounds == (391_000, 5_820_000 - 28.8, 391_028.8, 5_820_000)
        drawn = draw_town(np.random.default_rng([0, 1]), 96, 96)
        assert np.array_equal(image.read().transpose(1, 2, 0), drawn[0]) and np.array_equal(mask.read(1), drawn[1])
    with rasterio.open(tmp_path / "town/new/town2.tif") as new:
        assert new.shape == (96, 192)
