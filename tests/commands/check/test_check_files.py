"""Defects of files, planted in a clean set: each is found, with the fix for it, and the fix works."""

import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.__main__ import main as segtrain
from segtrain.commands.check.source import without_unions
from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable
from segtrain.images.reading import read_picture
from tests.bad_input import truncate
from tests.commands.check.check_sets import (
    discs,
    lines,
    look,
    look_at_folders,
    read,
    run_fix,
    save_turned,
    set_aside,
    shown,
    write,
)
from tests.conftest import PROJECT


def test_a_clean_set_has_no_finding(root):
    assert look(root) == []
    assert look_at_folders(root / "*/images/*", root / "*/masks/*") == []


def test_truncated_files(root):
    image, mask = root / "train/images/003.png", root / "val/masks/001.png"
    truncate(image)
    mask.write_bytes(b"")
    (found,) = look(root)
    assert shown([found]) == [("error", "2 files cannot be read")]
    assert [file.removeprefix(f"{root}/").partition(":")[0] for file in found.files] == [
        "train/images/003.png",
        "val/masks/001.png",
    ]
    assert found.files[1] == f"{mask}: is not an image of a supported type; is the file complete?"
    pair = [image, root / "train/masks/003.png", root / "val/images/001.png", mask]
    assert set_aside(found) == ("set-aside-unreadable", pair)
    run_fix(found)
    assert look(root) == []


def test_files_without_a_partner(root):
    alone = root / "train/images/a b.png"
    shutil.copy(root / "train/images/003.png", alone)
    (root / "train/masks/000.png").unlink()
    (root / "val/images/002.png").unlink()
    images, masks = look(root)
    assert shown([images, masks]) == [
        ("error", "2 of 9 images have no mask"),
        ("error", "1 of 4 masks has no image"),
    ]
    bare = root / "train/images/000.png"
    assert images.files == [str(bare), str(alone)]
    assert set_aside(images) == ("set-aside-unpaired", [bare, alone])
    run_fix(images)
    run_fix(masks)
    assert look(root) == []


def test_pairs_are_looked_at_though_others_are_missing(root):
    (root / "train/masks/000.png").unlink()
    truncate(root / "train/images/001.png")
    assert [title for _, title in shown(look(root))] == ["1 of 8 images has no mask", "1 file cannot be read"]


def test_a_split_that_is_not_there(root):
    shutil.rmtree(root / "val")
    truncate(root / "train/images/001.png")
    split, file = look(root)
    assert shown([split, file]) == [
        ("error", "The val split cannot be listed"),
        ("error", "1 file cannot be read"),
    ]
    assert split.explanation == f"data (val).images: {root}/val/images does not exist; {root} contains: train"


def test_a_root_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert {level for level, _ in shown(look(tmp_path / "nothing"))} == {"error"}


@pytest.mark.parametrize(("orientation", "turned"), [(6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)])
def test_images_that_exif_turns_and_masks_that_it_does_not(root, orientation, turned):
    """The scene is upright; the camera stored it lying, and the mask was drawn on what it stored."""
    path, mask = root / "train/images/003.png", root / "train/masks/003.png"
    save_turned(Image.open(path).transpose(turned), path.with_suffix(".jpg"), orientation, quality=95)
    path.unlink()
    upright = read(mask)
    Image.open(mask).transpose(turned).save(mask)
    (found,) = look(root)
    assert shown([found]) == [("error", "1 image is rotated by EXIF, their masks are not")]
    assert found.files == [str(path.with_suffix(".jpg"))]
    assert found.fix.name == "turn-masks"
    run_fix(found)
    assert np.array_equal(read(mask), upright)
    assert look(root) == []


STORED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
          8: "ROTATE_270"}  # fmt: skip


def init_refuses(root, capsys, split="train"):
    """Whether `init` of the folders of a split stops; the title of what it says."""
    folders = [f"{root}/{split}/{kind}" for kind in ("images", "masks")]
    assert segtrain(["init", *folders, "-o", f"{root}/mine.yml"]) == 2
    return capsys.readouterr().err.split(": ")[1].partition(";")[0]


@pytest.mark.parametrize("kind", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_orientations_that_the_mask_does_not_follow(orientation, kind, root, capsys):
    """Of some of the images: what is stored is turned, and the mask was drawn on that."""
    discs(root)
    for name in ("001", "003", "006"):
        path, mask = root / f"train/images/{name}.png", root / f"train/masks/{name}.png"
        how = Image.Transpose[STORED[orientation]]
        picture = Image.open(path).transpose(how)
        path.unlink()
        if kind == ".tif":
            tag = [(274, "H", 1, orientation, True)]
            tifffile.imwrite(path.with_suffix(kind), np.array(picture), photometric="rgb", extratags=tag)
        else:
            save_turned(picture, path.with_suffix(kind), orientation)
        Image.open(mask).transpose(how).save(mask)
    title = "3 images are rotated by EXIF, their masks are not"
    (found,) = [finding for finding in look(root) if "EXIF" in finding.title]
    assert shown([found]) == [("error", title)]
    assert init_refuses(root, capsys) == title
    run_fix(found)
    assert [finding for finding in look(root) if finding.level == "error"] == []


@pytest.mark.parametrize("orientation", STORED)
def test_masks_that_a_viewer_turns(orientation, root, capsys):
    discs(root)
    path = root / "train/masks/003.png"
    upright = read(path)
    save_turned(Image.open(path), path, orientation)
    assert [finding for finding in look(root) if "EXIF" in finding.title] == []  # as it is stored it fits
    save_turned(Image.fromarray(upright).transpose(Image.Transpose[STORED[orientation]]), path, orientation)
    (found,) = [finding for finding in look(root) if "EXIF" in finding.title]
    assert shown([found]) == [("error", "1 mask is not rotated as EXIF says")] and found.files == [str(path)]
    assert init_refuses(root, capsys) == "1 mask is not rotated as EXIF says"
    run_fix(found)
    assert np.array_equal(read(path), upright) and not [f for f in look(root) if "EXIF" in f.title]


@pytest.mark.parametrize("damage", ["truncate", "other size", "scaled", "alone"])
def test_init_stops_where_check_finds_an_error_of_files(damage, root, capsys):
    path = root / "train/masks/003.png"
    if damage == "truncate":
        truncate(path)
    elif damage == "alone":
        path.unlink()
    else:
        write(path, read(path)[:, :60] if damage == "other size" else read(path)[::2, ::2])
    (found,) = look_at_folders(root / "train/images", root / "train/masks")
    assert found.level == "error" and init_refuses(root, capsys) == found.title


def test_an_upside_down_mask_is_seen_by_the_edges(root):
    """Of 180 degrees the size says nothing."""
    path, mask = root / "train/images/003.png", root / "train/masks/003.png"
    save_turned(Image.open(path), path, 3)
    (found,) = look(root)
    assert shown([found]) == [("error", "1 image is rotated by EXIF, their masks are not")]
    run_fix(found)
    assert look(root) == []
    mask.unlink()
    shutil.copy(f"{mask}.aside", mask)
    save_turned(Image.open(path).transpose(Image.Transpose.ROTATE_180), path, 3)
    assert look(root) == []  # here the mask was drawn on what is shown


def test_a_flat_mask_says_nothing_of_the_orientation(root):
    path, mask = root / "train/images/003.png", root / "train/masks/003.png"
    save_turned(Image.open(path), path, 3)
    write(mask, np.ones((64, 80)))
    (found,) = [finding for finding in look(root) if "EXIF" in finding.title]
    assert shown([found]) == [("warning", "1 image is rotated by EXIF, perhaps not their masks")]
    assert (found.fix.name, len(found.fix.changes)) == ("turn-unsure-masks", 1)
    run_fix(found)
    (found,) = [finding for finding in look(root) if "EXIF" in finding.title]
    assert found.fix.changes == []  # a second time it is not turned back


def test_masks_at_another_scale(root):
    mask = root / "train/masks/003.png"
    half = read(mask)[::2, ::2]
    write(mask, half)
    (found,) = look(root)
    assert shown([found]) == [("error", "1 mask is smaller or larger than the image")]
    assert found.files == [f"{mask}: 40 x 32, but its image is 80 x 64"]
    run_fix(found)
    assert np.array_equal(read(mask), half.repeat(2, axis=0).repeat(2, axis=1))
    assert look(root) == []


def test_masks_of_other_proportions(root):
    mask, image = root / "train/masks/003.png", root / "train/images/003.png"
    write(mask, read(mask)[:, :60])
    (found,) = look(root)
    assert shown([found]) == [("error", "1 mask is not the size of the image")]
    assert found.files == [f"{mask}: 60 x 64, but its image is 80 x 64"]
    assert set_aside(found) == ("set-aside-other-size", [image, mask])


def georeference(folder, suffix, shift=0.0):
    """The pictures of a folder as TIFFs with pixels of half a meter, 100 m apart."""
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        place = [
            (33550, "d", 3, (0.5, 0.5, 0.0), True),
            (33922, "d", 6, (0, 0, 0, 4e5 + 100 * index + shift, 5e6, 0), True),
        ]
        tifffile.imwrite(path.with_suffix(suffix), read(path), extratags=place)
        path.unlink()


@pytest.mark.parametrize("shift", [0, 0.2, 2.0])
def test_masks_that_are_elsewhere_on_the_map(root, shift, capsys):
    georeference(root / "train/images", ".tif")
    georeference(root / "train/masks", ".tif", shift)
    found = [finding for finding in look(root) if "map" in finding.title]
    if shift < 1:
        assert found == []
        return
    assert shown(found) == [("error", "8 masks are elsewhere on the map than the image")]
    assert found[0].files[0] == f"{root}/train/masks/000.tif: is 4.0 pixels away from its image"
    assert segtrain(["init", f"{root}/train/images", f"{root}/train/masks", "-o", f"{root}/mine.yml"]) == 2
    assert "8 masks are elsewhere on the map than the image: " in capsys.readouterr().err


def test_images_of_one_color(root):
    write(root / "train/images/003.png", np.full((64, 80, 3), 9))
    (found,) = look(root)
    assert shown([found]) == [("warning", "1 image is a single color")]
    run_fix(found)
    assert look(root) == []


def test_a_table_names_files_that_are_not_there(root):
    rows = [f"train/images/{n:03d}.png,train/masks/{n:03d}.png,train" for n in range(8)]
    rows += [f"val/images/{n:03d}.png,val/masks/{n:03d}.png,val" for n in range(4)]
    rows[2] = rows[2].replace("masks/002", "masks/2")
    (root / "data.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    truncate(root / "train/images/001.png")
    table, file = look(root, "data={format: csv, classes: [sky, road, car]}")
    assert shown([table]) == [("error", f"1 line of {root}/data.csv cannot be used")]
    (line,) = table.files
    assert line == (
        f"{root}/data.csv:4: mask {root}/train/masks/2.png does not exist; paths are relative to the CSV file"
    )
    assert shown([file]) == [("error", "1 file cannot be read")]
    assert file.fix.label == "remove from the lists of the dataset" and lines(file) == ["train/images/001"]


def test_a_split_that_is_made_of_others_is_looked_at_once(root):
    rows = [
        f"{split}/images/{n:03d}.png,{split}/masks/{n:03d}.png" for split, n in (("train", 0), ("val", 0), ("val", 1))
    ]
    splits = {"train": table(root, rows[:1]), "val": table(root, rows[1:2]), "trainval": table(root, rows[:2])}
    assert list(without_unions(splits | {"test": table(root, rows[2:])})) == ["train", "val", "test"]


def table(root, rows):
    return SampleTable(Sample(row, *(f"{root}/{path}" for path in row.split(","))) for row in rows)


ENDINGS = {
    "masks": ("{}", "{}_mask", ["  mask_suffix: _mask"]),
    "images": ("{}_rgb", "{}", ["  image_suffix: _rgb"]),
    "both": ("{}_leftImg", "{}_label", ["  image_suffix: _leftImg", "  mask_suffix: _label"]),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_names_with_endings(case, root):
    image, mask, wanted = ENDINGS[case]
    for split in ("train", "val"):
        for path in sorted((root / split / "images").iterdir()):
            path.rename(path.with_stem(image.format(path.stem)))
        for path in sorted((root / split / "masks").iterdir()):
            path.rename(path.with_stem(mask.format(path.stem)))
    (found,) = look(root)
    assert shown([found]) == [("error", "The names of images and masks have different endings")]
    assert lines(found) == ["data:", *wanted]
    assert look(root, *[f"data.{line.strip().replace(': ', '=')}" for line in wanted]) == []
    assert look_at_folders(root / "train/images", root / "train/masks") == []


def test_pictures_are_read_as_they_are_stored(tmp_path):
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    Image.fromarray(values).save(tmp_path / "deep.png")
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "bits.png")
    save_turned(Image.fromarray(np.full((2, 5, 3), 7, np.uint8)), tmp_path / "turned.png", 6)
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "palette.png")
    np.save(tmp_path / "bools.npy", np.eye(2, dtype=bool))
    deep = read_picture(str(tmp_path / "deep.png"))
    assert deep.pixels.dtype == np.uint16 and np.array_equal(deep.pixels, values) and deep.file_type == "PNG"
    assert np.array_equal(read_picture(str(tmp_path / "bits.png")).pixels, np.eye(4))
    turned = read_picture(str(tmp_path / "turned.png"))
    assert turned.pixels.shape == (2, 5, 3) and turned.orientation == 6
    indexed = read_picture(str(tmp_path / "palette.png"))
    assert indexed.pixels.tolist() == [[0, 1], [1, 0]] and indexed.palette[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.array_equal(read_picture(str(tmp_path / "bools.npy")).pixels, np.eye(2))


def test_what_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    np.save(tmp_path / "a.npy", np.zeros(3))
    expected = {
        "a.png": "R/a.png: is not an image of a supported type; is the file complete?",
        "b.png": "R/b.png: does not exist",
        "a.npy": "R/a.npy: expected an image of HWC numbers, not float64 of shape (3,)",
    }
    for name, text in expected.items():
        with pytest.raises(DataError) as error:
            read_picture(str(tmp_path / name))
        assert str(error.value).replace(str(tmp_path), "R") == text


def test_an_image_past_the_limit_is_not_moved_aside(root, monkeypatch):
    """Pillow reads twice this number of pixels at most."""
    write(root / "train/images/003.png", np.zeros((400, 400, 3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)
    found = look(root)[0]
    assert shown([found]) == [("error", "1 pair is too large to be read")] and found.fix is None
    assert found.files[0].startswith(f"{root}/train/images/003.png: ")
