import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names, touch, write_list

read = reader("voc")

LISTS = "ImageSets/Segmentation"
MASKS = {
    "2007_000032": [[0, 1, 2, 3, 4, 5], [255, 6, 7, 8, 9, 10]],
    "2007_000039": [[11, 12, 13, 14], [15, 16, 17, 255]],
    "2007_000033": [[18, 19, 20]],
}


def bit_color(value):
    """The development kit's palette: bits 0, 3, 6 of the value are the highest bits of red, and so on."""
    return tuple(sum((value >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3))


@pytest.fixture
def root(tmp_path):
    """A drawn VOC2012: two images to train on and one to validate on, with masks as palette PNGs."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name, mask in MASKS.items():
        draw_image(folder / "JPEGImages" / f"{name}.jpg", mask)
        draw(folder / "SegmentationClass" / f"{name}.png", mask, palette=[bit_color(value) for value in range(256)])
    touch(folder, "JPEGImages/2007_000027.jpg", "Annotations/2007_000027.xml", f"{LISTS}/../Main/train.txt")
    write_list(folder / LISTS / "train.txt", "2007_000039", "2007_000032")
    write_list(folder / LISTS / "val.txt", "2007_000033")
    write_list(folder / LISTS / "trainval.txt", "2007_000032", "2007_000033", "2007_000039")
    return folder


def test_every_pixel_of_every_split(root):
    splits = read(root)
    assert names(splits) == {
        "train": ["2007_000039", "2007_000032"],
        "val": ["2007_000033"],
        "trainval": ["2007_000032", "2007_000033", "2007_000039"],
    }
    assert files(root, splits["val"]) == [("JPEGImages/2007_000033.jpg", "SegmentationClass/2007_000033.png")]
    config = data_config(format="voc", root=root)
    assert config.mode == "multiclass" and len(config.classes) == 21
    assert decode(config, splits["trainval"]) == MASKS


def test_the_void_is_ignored_whatever_the_index(root):
    config = data_config(format="voc", root=root, ignore_index=99)
    assert decode(config, read(root)["train"])["2007_000039"] == [[11, 12, 13, 14], [15, 16, 17, 99]]


def test_classes_in_the_palette_of_the_masks():
    classes = load_dataset("voc").labels().classes
    assert [item.color for item in classes] == [bit_color(value) for value in range(21)]
    assert [item.values for item in classes] == [(value,) for value in range(21)]
    assert [classes[value].name for value in (0, 1, 15, 20)] == ["background", "aeroplane", "person", "tvmonitor"]


def test_splits_that_have_a_list(root):
    for split in ("train", "trainval"):
        (root / LISTS / f"{split}.txt").unlink()
    write_list(root / LISTS / "test.txt", "2008_000006")
    assert names(read(root)) == {"val": ["2007_000033"]}
    (root / LISTS / "val.txt").unlink()
    assert error_of(read, root) == f"data.files.train: R/{LISTS}/train.txt does not exist; R/{LISTS} contains: test.txt"


def test_the_folder_above_or_below(root):
    wanted = "has no JPEGImages, but R/VOCdevkit/VOC2012 has; write data.root: R/VOCdevkit/VOC2012"
    assert error_of(read, root.parents[1]) == f"data.root: R {wanted}"
    above = error_of(read, root.parent)
    assert above == "data.root: R has no JPEGImages, but R/VOC2012 has; write data.root: R/VOC2012"
    below = error_of(read, root / "JPEGImages")
    assert below == f"data.root: R has no JPEGImages, but {root} has; write data.root: {root}"


def test_files_that_are_missing(root):
    (root / "SegmentationClass" / "2007_000032.png").unlink()
    assert error_of(read, root) == (
        f"R/{LISTS}/train.txt:2: mask R/SegmentationClass/2007_000032.png does not exist; 1 of the 2 masks in this "
        "list are missing"
    )
    write_list(root / LISTS / "train.txt", "2007_000039", "2007_000039")
    assert error_of(read, root) == (f"R/{LISTS}/train.txt:2: 2007_000039 is already in line 1; remove one of them")
