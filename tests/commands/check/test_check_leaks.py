"""Images that occur twice, or nearly so."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.check_leaks import Pair, find_close_hashes, find_duplicates, find_near, group_duplicates
from segtrain.commands.check.examine import Record, describe_image
from segtrain.images.reading import Picture
from tests.commands.check.check_sets import (
    draw_clean,
    lines,
    look,
    look_at_folders,
    read,
    run_fix,
    set_aside,
    shown,
    write,
)
from tests.conftest import PROJECT


def copy(root, source, target, function=lambda picture: picture, **options):
    """Copy a pair to another name; the image is what the function makes of it, the mask gets its size."""
    image = function(Image.open(root / source.format("images")))
    path = Path(root / target.format("images"))
    image.save(path.with_suffix(options.pop("suffix", ".png")), **options)
    mask = Image.open(root / source.format("masks")).resize(image.size, Image.Resampling.NEAREST)
    mask.save(root / target.format("masks"))


COPIES = {
    "exact": {},
    "as JPEG": {"suffix": ".jpg", "quality": 90},
    "brighter": {"function": lambda picture: picture.point(lambda value: value * 1.15 + 8)},
    "resized": {"function": lambda picture: picture.resize((160, 128), Image.Resampling.BICUBIC)},
}


@pytest.mark.parametrize("case", COPIES)
def test_a_training_image_in_the_validation_split(case, root):
    copy(root, "train/{}/003.png", "val/{}/9.png", **COPIES[case])
    (found,) = look(root)
    assert shown([found]) == [("error", "1 image of val is a copy of one of train")]
    suffix = COPIES[case].get("suffix", ".png")
    assert found.files == [f"{root}/train/images/003.png and {root}/val/images/9{suffix}"]
    assert found.fix is None and "If the split is the published one, keep it" in found.explanation


def test_copies_on_both_sides_of_a_random_split(root):
    """Nobody chose the sides: the copies in train can go."""
    for name in range(4):
        copy(root, "train/{}/003.png", f"train/{{}}/9{name}.png")
    unsplit = ["data.images=train/images", "data.masks=train/masks", "data.val_fraction=0.4"]
    (found,) = (finding for finding in look(root, *unsplit) if "too" in finding.title)
    assert found.level == "error" and set_aside(found)[0] == "set-aside-leaks"


def test_an_edited_copy_looks_nearly_like_it(root):
    other = Image.open(root / "val/images/000.png")
    copy(root, "train/{}/003.png", "val/{}/9.png", lambda picture: Image.blend(picture, other, 0.12))
    (found,) = look(root)
    assert shown([found]) == [("note", "1 image of val looks almost like one of train")]
    assert found.fix is None


@pytest.mark.parametrize("case", COPIES)
def test_copies_within_a_split(case, root):
    copy(root, "train/{}/003.png", "train/{}/9.png", **COPIES[case])
    (found,) = look(root)
    assert shown([found]) == [("warning", "1 image occurs twice or more")]
    run_fix(found)
    assert not (root / "train/masks/9.png").exists() and look(root) == []


def test_copies_with_different_masks(root):
    copy(root, "train/{}/003.png", "train/{}/9.png")
    shutil.copy(root / "train/masks/004.png", root / "train/masks/9.png")
    (found,) = look(root)
    assert shown([found]) == [("warning", "1 image occurs twice with different masks")]
    assert set_aside(found) == ("set-aside-contradicting", [root / "train/images/9.png", root / "train/masks/9.png"])


def frames(root, scenes, count):
    """images/ and masks/ of some scenes in which next to nothing moves from frame to frame."""
    clean = draw_clean(root / "clean", train=scenes, val=1)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for scene in range(scenes):
        image, mask = (read(clean / "train" / kind / f"{scene:03d}.png") for kind in ("images", "masks"))
        for frame in range(count):
            moved = image.astype(np.int64)
            moved[20:32, 10 + 8 * frame : 22 + 8 * frame] += 12  # something passes by
            write(root / "images" / f"s{scene}_{frame}.png", np.clip(moved, 0, 255))
            write(root / "masks" / f"s{scene}_{frame}.png", mask)
    return root


def test_frames_on_both_sides_of_a_random_split(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    root = frames(tmp_path, 6, 4)
    folders = ["data.images=images", "data.masks=masks"]
    across = [finding for finding in look(root, *folders) if "almost like" in finding.title]
    assert [finding.level for finding in across] == ["warning"]
    assert lines(across[0]) == ["data:", "  folds: 5", "  group_pattern: ^[^_]+(?=_)"]
    grouped = look(root, *folders, "data.folds=5", "data.group_pattern=^[^_]+(?=_)")
    assert [finding for finding in grouped if "almost like" in finding.title] == []


def test_frames_that_are_not_split_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    root = frames(tmp_path, 6, 4)
    note = look_at_folders(root / "images", root / "masks")[-1]
    assert shown([note]) == [("note", "24 images of 24 look almost like another one")]
    assert lines(note) == ["data:", "  folds: 5", "  group_pattern: ^[^_]+(?=_)"]
    for kind in ("images", "masks"):
        for index, path in enumerate(sorted((root / kind).iterdir())):
            path.rename(root / kind / f"{index}.png")  # names that say nothing
    note = look_at_folders(root / "images", root / "masks")[-1]
    assert lines(note) == [f"python -m segtrain init {root}/images {root}/masks -o experiments/mine.yml"]


def test_close_hashes_are_those_of_a_comparison_of_each_with_each():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 64, 600, dtype=np.uint64)
    for index in range(0, 600, 3):  # some are others with 1 to 11 bits changed
        bits = rng.choice(64, rng.integers(1, 12), replace=False)
        hashes[index] = hashes[(7 * index + 1) % 600] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    expected = {
        (a, b) for a in range(600) for b in range(a + 1, 600) if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= 8
    }
    first, second = find_close_hashes(hashes)
    assert len(expected) > 50
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected


def test_of_many_images_of_one_hash_each_is_paired_with_the_next_50():
    first, second = find_close_hashes(np.full(2500, 7, np.uint64))  # more than fit into one block of rows
    expected = [(a, b) for a in range(2500) for b in range(a + 1, min(a + 51, 2500))]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected


def test_look_alikes_are_told_from_copies_by_what_the_set_is_like():
    """X-rays, say: a bright disc each, and a little of their own. Only the last is a copy of the first."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    disc = 200.0 * ((rows - 16) ** 2 + (columns - 16) ** 2 < 150)
    thumbnails = np.stack([disc + rng.normal(20, 6, (32, 32)) for _ in range(40)]).clip(0, 255).astype(np.uint8)
    thumbnails[39] = thumbnails[0]
    flat = thumbnails.reshape(40, -1)
    assert [(a, b) for a, b, _ in find_near(np.zeros(40, np.uint64), flat)] == [(0, 39)]


def record(pixels):
    return describe_image(Picture(pixels, "PNG"), pixels)[0]


def test_pairs_and_groups():
    rng = np.random.default_rng(1)
    pictures = [np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(6)]
    images = [record(picture) for picture in pictures]
    images += [images[2], record(pictures[2] // 2 + 40), None, record(np.zeros((9, 9, 3), np.uint8))]
    pairs = find_duplicates(images)
    assert [pair[:3] for pair in pairs] == [(2, 6, True), (2, 7, False)] and isinstance(pairs[0], Pair)
    groups = group_duplicates([Record("all", None, image) for image in images]).tolist()
    assert groups[2] == groups[6] == groups[7] and len(set(groups)) == 8
    assert group_duplicates([]).tolist() == []
