"""Fixes on files: what they make of pixels, what they keep, and what they refuse."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.finding import Change, apply_fix
from segtrain.commands.check.fixes import make_change, pick_pixels, snap_pixels, swap_values
from segtrain.errors import DataError
from segtrain.images.bands import upright
from tests.commands.check.check_sets import read, write

MASK = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


def turn(path, orientation):
    return Change(str(path), partial(upright, orientation=orientation))


def resize(path):
    return Change(str(path), partial(pick_pixels, height=4, width=6))


def snap(path, values):
    return Change(str(path), partial(snap_pixels, values=values), ".png")


def swap(path, low, high):
    return Change(str(path), partial(swap_values, values=(low, high)))


@pytest.fixture
def mask(tmp_path):
    write(tmp_path / "a b.png", MASK)
    return tmp_path / "a b.png"


def test_a_file_is_set_aside(mask):
    content = mask.read_bytes()
    aside = make_change(Change(str(mask)))
    assert aside == mask.with_name("a b.png.aside") and aside.read_bytes() == content
    assert list(mask.parent.iterdir()) == [aside]


# How EXIF turns what is stored (its sides after that): 1 2 3 over 4 5 6, read from the table of the standard.
TURNED = {
    2: [[2, 1, 0], [255, 4, 3]],
    3: [[255, 4, 3], [2, 1, 0]],
    4: [[3, 4, 255], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 255]],
    6: [[3, 0], [4, 1], [255, 2]],
    7: [[255, 2], [4, 1], [3, 0]],
    8: [[2, 255], [1, 4], [0, 3]],
}


@pytest.mark.parametrize("orientation", TURNED)
def test_masks_are_turned(mask, orientation):
    aside = make_change(turn(mask, orientation))
    assert read(mask).tolist() == TURNED[orientation]
    assert np.array_equal(np.array(Image.open(aside)), MASK)


def test_masks_are_resized_without_new_values(mask):
    make_change(resize(mask))
    assert np.array_equal(read(mask), MASK.repeat(2, axis=0).repeat(2, axis=1))
    assert pick_pixels(np.arange(9).reshape(3, 3), 1, 1).tolist() == [[4]]  # the middle one


def test_values_are_snapped_to_the_nearest(tmp_path):
    write(tmp_path / "a.jpg", np.array([[0, 100], [130, 250]]), quality=100)
    make_change(snap(tmp_path / "a.jpg", [0, 128, 255]))
    assert read(tmp_path / "a.png").tolist() == [[0, 128], [128, 255]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg.aside", "a.png"]
    colors = np.array([[[250, 9, 0, 255], [3, 240, 9, 255]]], np.uint8)  # RGBA
    assert snap_pixels(colors, np.array([[255, 0, 0], [0, 255, 0]])).tolist() == [[[255, 0, 0], [0, 255, 0]]]
    gray = np.full((1, 1, 3), 90, np.uint8)  # an RGB picture of values
    assert snap_pixels(gray, np.array([0, 100])).tolist() == [[100]]


def test_a_snapped_mask_overwrites_no_other(tmp_path):
    write(tmp_path / "a.jpg", MASK)
    write(tmp_path / "a.png", MASK)
    with pytest.raises(DataError, match=r"a\.jpg: cannot be renamed to .*a\.png, which exists"):
        make_change(snap(tmp_path / "a.jpg", [0, 1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_are_swapped(tmp_path, dtype):
    path = tmp_path / "a.png"
    Image.fromarray(MASK.astype(dtype) * 200 if dtype == np.uint16 else MASK).save(path)
    low, high = np.unique(read(path))[[0, -1]].tolist()
    before = read(path)
    make_change(swap(path, low, high))
    after = read(path)
    assert after.dtype == before.dtype and (after[before == low] == high).all() and (after[before == high] == low).all()
    make_change(swap(path, low, high))
    assert np.array_equal(read(path), before)


def test_a_palette_is_kept(tmp_path):
    picture = Image.frombytes("P", (3, 2), MASK.tobytes())
    picture.putpalette([9, 8, 7, 1, 2, 3] + [0] * 762)
    picture.save(tmp_path / "a.png")
    make_change(swap(tmp_path / "a.png", 0, 1))
    with Image.open(tmp_path / "a.png") as changed:
        assert changed.mode == "P" and changed.getpalette()[:6] == [9, 8, 7, 1, 2, 3]
        assert np.asarray(changed)[0].tolist() == [1, 0, 2]


def test_arrays_are_changed_too(tmp_path):
    np.save(tmp_path / "a.npy", MASK.astype(np.int64))
    make_change(resize(tmp_path / "a.npy"))
    changed = np.load(tmp_path / "a.npy")
    assert changed.shape == (4, 6) and changed.dtype == np.int64


def test_every_original_is_kept(mask):
    originals = [mask.read_bytes()]
    for _ in range(2):
        make_change(swap(mask, 0, 1))
        originals.append(mask.read_bytes())
    kept = [mask.with_name(f"a b.png.aside{end}").read_bytes() for end in ("", "2")]
    assert kept == originals[:2]


def test_a_file_that_cannot_be_changed_stays(mask):
    mask.write_bytes(b"no picture")
    with pytest.raises(DataError, match="Pillow cannot read its type"):
        make_change(swap(mask, 0, 1))
    assert [path.read_bytes() for path in mask.parent.iterdir()] == [b"no picture"]
    with pytest.raises(DataError, match="gone: cannot be written: No such file or directory"):
        make_change(Change(str(mask.with_name("gone"))))


def test_a_file_is_changed_once_by_a_fix():
    assert [change.file for change in apply_fix("set-aside-flat", map(Change, "aba")).changes] == ["a", "b"]
