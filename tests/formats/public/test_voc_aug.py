import numpy as np
import pytest
from scipy.io import savemat

from segtrain.errors import DataError
from segtrain.formats.public import masks
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names, write_list

read = reader("voc_aug")

LISTS = "ImageSets/Segmentation"
TRAIN_LISTS = [f"{LISTS}{end}/{name}.txt" for end in ("", "Aug") for name in ("trainaug", "train_aug")]
OWN = {
    "2007_000032": [[0, 1, 255]],
    "2011_003276": [[2, 255, 3]],
    "2007_000033": [[4, 5, 255]],
    "2007_000042": [[255, 20, 0]],
}
AUGMENTED = {"2007_000032": [[1, 1, 255]], "2008_000008": [[13, 15, 0]], "2008_000015": [[5, 0, 0]]}
VAL = ["2007_000033", "2007_000042"]


@pytest.fixture
def voc_root(tmp_path):
    """A drawn VOC2012 with two images in each of train and val, and SegmentationClassAug with more to train on."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name, mask in {**OWN, **AUGMENTED}.items():
        draw_image(root / "JPEGImages" / f"{name}.jpg", mask)
    for name, mask in OWN.items():
        draw(root / "SegmentationClass" / f"{name}.png", mask)
    for name, mask in AUGMENTED.items():
        draw(root / "SegmentationClassAug" / f"{name}.png", mask)
    write_list(root / LISTS / "train.txt", "2007_000032", "2011_003276")
    write_list(root / LISTS / "val.txt", *VAL)
    write_list(root / LISTS / "trainaug.txt", "2008_000015", "2011_003276", "2007_000032", "2008_000008")
    return root


def write_sbd(folder, masks):
    for name, mask in masks.items():
        path = folder / "cls" / f"{name}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        boundaries = np.empty((20, 1), object)
        boundaries[:, 0] = [np.zeros((1, 1))] * 20
        categories = np.array([[7]], np.uint8)
        struct = {
            "Boundaries": boundaries,
            "Segmentation": np.array(mask, np.uint8),
            "CategoriesPresent": categories,
        }
        savemat(path, {"GTcls": struct}, do_compression=True)


@pytest.fixture
def sbd_root(voc_root):
    """VOCdevkit with VOC2012 and SBD beside it. SBD's training set holds an image of VOC's val, its own val another."""
    root = voc_root.parent
    masks = {"2008_000008": [[13, 15, 0]], "2008_000015": [[5, 0, 0]]}
    write_sbd(root / "benchmark_RELEASE/dataset", {**masks, **{name: [[9, 9, 9]] for name in OWN}})
    write_list(root / "benchmark_RELEASE/dataset/train.txt", "2007_000042", "2008_000015", "2007_000032")
    write_list(root / "benchmark_RELEASE/dataset/val.txt", "2008_000008", "2007_000033", "2008_000015", "2011_003276")
    return root


def test_augmented_masks_for_training_and_own_masks_for_validation(voc_root):
    splits = read(voc_root)
    assert names(splits) == {"train": ["2008_000015", "2011_003276", "2007_000032", "2008_000008"], "val": VAL}
    assert files(voc_root, splits["val"])[0] == ("JPEGImages/2007_000033.jpg", "SegmentationClass/2007_000033.png")
    config = data_config(format="voc_aug", root=voc_root)
    assert decode(config, splits["train"]) == {
        "2008_000015": [[5, 0, 0]],
        "2011_003276": [[2, 255, 3]],
        "2007_000032": [[1, 1, 255]],
        "2008_000008": [[13, 15, 0]],
    }
    assert decode(config, splits["val"]) == {name: OWN[name] for name in VAL}


@pytest.mark.parametrize("place", [*TRAIN_LISTS, "lists/mine.txt"])
def test_where_the_list_lies_and_what_its_lines_are(voc_root, place):
    (voc_root / LISTS / "trainaug.txt").unlink()
    write_list(voc_root / place, "/JPEGImages/2008_000015.jpg /SegmentationClassAug/2008_000015.png", "2008_000008")
    keys = {"train_list": "lists/mine.txt"} if place == "lists/mine.txt" else {}
    splits = read(voc_root, **keys)
    assert files(voc_root, splits["train"]) == [
        (f"JPEGImages/{name}.jpg", f"SegmentationClassAug/{name}.png") for name in ("2008_000015", "2008_000008")
    ]


def test_sbd_without_the_validation_images(sbd_root):
    splits = read(sbd_root, annotations="sbd")
    assert names(splits) == {"train": ["2007_000032", "2011_003276", "2008_000015", "2008_000008"], "val": VAL}
    config = data_config(format="voc_aug", root=sbd_root, annotations="sbd")
    assert decode(config, splits["train"]) == {
        "2007_000032": [[0, 1, 255]],
        "2011_003276": [[2, 255, 3]],
        "2008_000015": [[5, 0, 0]],
        "2008_000008": [[13, 15, 0]],
    }
    assert decode(config, splits["val"]) == {name: OWN[name] for name in VAL}
    assert files(sbd_root, splits["train"])[2] == (
        "VOC2012/JPEGImages/2008_000015.jpg",
        "benchmark_RELEASE/dataset/cls/2008_000015.mat",
    )


def test_both_archives_unpacked_beside_one_another(sbd_root):
    outer = sbd_root.parent
    (sbd_root / "benchmark_RELEASE").rename(outer / "benchmark_RELEASE")
    assert names(read(outer, annotations="sbd")) == {
        "train": ["2007_000032", "2011_003276", "2008_000015", "2008_000008"],
        "val": VAL,
    }
    below = error_of(read, sbd_root / "VOC2012", annotations="sbd")
    assert below == f"data.root: R has no benchmark_RELEASE/dataset/cls, but {outer} has; write data.root: {outer}"


def test_a_list_that_leaks_validation_images(voc_root):
    write_list(voc_root / LISTS / "trainaug.txt", "2008_000015", "2007_000042", "2007_000033", "2008_000008")
    assert error_of(read, voc_root) == (
        f"R/{LISTS}/trainaug.txt:2: 2007_000042 is a validation image (R/{LISTS}/val.txt:2), like 2 name(s) in this "
        f"list; remove them, because validation images must not be trained on"
    )


def test_a_training_list_of_voc_that_leaks(sbd_root):
    write_list(sbd_root / "VOC2012" / LISTS / "train.txt", "2007_000032", "2007_000033")
    assert error_of(read, sbd_root, annotations="sbd") == (
        f"R/VOC2012/{LISTS}/train.txt:2: 2007_000033 is a validation image (R/VOC2012/{LISTS}/val.txt:1), like 1 "
        f"name(s) in this list; remove them, because validation images must not be trained on"
    )


def test_wrong_roots(sbd_root, voc_root):
    text = "has no benchmark_RELEASE/dataset/cls, but {0} has; write data.root: {0}"
    for wrong in (voc_root, sbd_root / "benchmark_RELEASE"):
        assert error_of(read, wrong, annotations="sbd") == f"data.root: R {text.format(sbd_root)}"
    assert error_of(read, sbd_root.parent, annotations="sbd") == f"data.root: R {text.format('R/VOCdevkit')}"
    assert error_of(read, sbd_root) == ("data.root: R has no JPEGImages, but R/VOC2012 has; write data.root: R/VOC2012")


def test_what_is_not_there(voc_root, sbd_root):
    (sbd_root / "benchmark_RELEASE/dataset/cls/2008_000008.mat").unlink()
    assert error_of(read, sbd_root, annotations="sbd") == (
        "R/benchmark_RELEASE/dataset/val.txt:1: mask R/benchmark_RELEASE/dataset/cls/2008_000008.mat does not exist; "
        "1 of the 1 masks in this list are missing"
    )
    (voc_root / LISTS / "trainaug.txt").unlink()
    assert error_of(read, voc_root) == (
        f"data.train_list: R/{LISTS}/trainaug.txt does not exist; R/{LISTS} contains: train.txt, val.txt"
    )
    assert error_of(read, voc_root, train_list="mine.txt") == (
        "data.train_list: R/mine.txt does not exist; R contains: ImageSets, JPEGImages, SegmentationClass, "
        "SegmentationClassAug"
    )
    assert error_of(read, sbd_root, annotations="sbd", train_list="mine.txt") == (
        "data.train_list: needs data.annotations: png; with sbd, the lists are those of VOC and SBD"
    )


def test_a_broken_annotation_is_named(sbd_root):
    path = sbd_root / "benchmark_RELEASE/dataset/cls/2008_000008.mat"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"no MATLAB file at all" * 20):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            masks.read_sbd(str(path), as_color=False)
        assert str(error.value).startswith(f"{path}: cannot be read as a MAT file: ")
        assert "\n" not in str(error.value)
    savemat(path, {"GTinst": {"Segmentation": np.zeros((2, 2))}})
    with pytest.raises(DataError) as error:
        masks.read_sbd(str(path), as_color=False)
    assert str(error.value) == f"{path}: has no GTcls.Segmentation of SBD; is the file complete?"


def test_a_mask_as_colors(sbd_root):
    path = sbd_root / "benchmark_RELEASE/dataset/cls/2008_000008.mat"
    assert masks.read_sbd(str(path), as_color=True).tolist() == [[[13, 13, 13], [15, 15, 15], [0, 0, 0]]]
