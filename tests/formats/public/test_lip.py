import pytest

from segtrain.formats.dataset_info import load_dataset
from tests.formats.format_reading import data_config, reader
from tests.formats.format_trees import decode, draw, draw_image, error_of, files, names, write_list

read = reader("lip")

MASKS = {
    "train": {"77_471474": [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], "1000_1234574": [[10, 11, 12], [13, 14, 15]]},
    "val": {"100034_483681": [[16, 17, 18, 19]]},
}
MASK_FOLDER = "TrainVal_parsing_annotations"
# Folders of the images (with the lists) and of the masks.
PLACES = {
    "as listed": ("", MASK_FOLDER),
    "the image archive in its folder": ("TrainVal_images", MASK_FOLDER),
    "every archive in two": ("TrainVal_images/TrainVal_images", f"{MASK_FOLDER}/{MASK_FOLDER}"),
}


def draw_lip(root, images, masks):
    for split, parts in MASKS.items():
        for name, mask in parts.items():
            draw_image(root / images / f"{split}_images" / f"{name}.jpg", mask)
            draw(root / masks / f"{split}_segmentations" / f"{name}.png", mask)
        write_list(root / images / f"{split}_id.txt", *parts)
    return root


@pytest.mark.parametrize("place", PLACES)
def test_every_pixel(place, tmp_path):
    images, masks = PLACES[place]
    root = draw_lip(tmp_path, images, masks)
    splits = read(root)
    assert names(splits) == {split: list(parts) for split, parts in MASKS.items()}
    assert files(root, splits["val"]) == [
        (f"{images}/val_images/100034_483681.jpg".lstrip("/"), f"{masks}/val_segmentations/100034_483681.png")
    ]
    config = data_config(format="lip", root=root)
    assert {split: decode(config, splits[split]) for split in splits} == MASKS


def test_lists_beside_the_folder_of_the_images(tmp_path):
    root = draw_lip(tmp_path, "TrainVal_images/TrainVal_images", MASK_FOLDER)
    for split in MASKS:
        (root / f"TrainVal_images/TrainVal_images/{split}_id.txt").rename(root / f"TrainVal_images/{split}_id.txt")
    assert names(read(root))["val"] == ["100034_483681"]


def test_the_classes():
    classes = load_dataset("lip").labels().classes
    assert [item.values for item in classes] == [(value,) for value in range(20)]
    some = {0: "background", 5: "upper_clothes", 10: "jumpsuits", 13: "face", 14: "left_arm", 19: "right_shoe"}
    assert {value: classes[value].name for value in some} == some
    assert classes[4].color == (170, 0, 51) and classes[19].color == (255, 170, 0)


def test_what_is_wrong(tmp_path):
    root = draw_lip(tmp_path / "LIP", "", MASK_FOLDER)
    above = error_of(read, tmp_path)
    assert above == "data.root: R has no train_images, but R/LIP has; write data.root: R/LIP"
    below = error_of(read, root / "train_images")
    assert below == f"data.root: R has no train_images, but {root} has; write data.root: {root}"
    write_list(root / "val_id.txt", "100034_483681", "100034_483682")
    assert error_of(read, root) == (
        "R/val_id.txt:2: image R/val_images/100034_483682.jpg does not exist; 1 of the 2 images in this list are "
        "missing"
    )
    (root / "train_id.txt").unlink()
    assert error_of(read, root) == (
        f"data.files.train: R/train_id.txt does not exist; R contains: {MASK_FOLDER}, train_images, val_id.txt, "
        f"val_images"
    )
