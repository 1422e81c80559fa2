"""A dataset in the format of COCO, drawn for its tests."""

import json

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats import coco
from tests.formats.format_reading import data_config

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 90, "name": "tree"}]
COMPRESSED = pycocotools.mask.encode(np.asfortranarray(np.eye(5, 6, dtype=np.uint8)))["counts"].decode()


def box(left, top, right, bottom):
    """The polygon of a rectangle."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(key, image, category, segmentation, **more):
    return {"id": key, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


# Three images of 6 x 5 pixels: a large dog, a small cat on it that is listed first, and a crowd of cats; one without
# anything; one with a mask in each of COCO's two kinds of counts.
ANNOTATIONS = [
    annotation(1, 10, 7, box(1, 1, 3, 2)),
    annotation(2, 10, 3, box(0, 0, 4, 3)),
    annotation(3, 10, 7, {"counts": [28, 2], "size": [5, 6]}, iscrowd=1),
    annotation(4, 12, 3, {"counts": COMPRESSED, "size": [5, 6]}),
    annotation(5, 12, 7, {"counts": [20, 10], "size": [5, 6]}),
]
FILES = {10: "a.jpg", 11: "b.jpg", 12: "deep/c.png"}
CAT_DOG = ["background", "dog", "cat"]


def write(root, *, annotations=ANNOTATIONS, categories=CATEGORIES, files=FILES, path="set.json", size=(5, 6), **more):
    records = [{"id": key, "file_name": file, "height": size[0], "width": size[1]} for key, file in files.items()]
    content = {"info": {}, "images": records, "annotations": annotations, "categories": categories, **more}
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def draw_images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(folder / name)


def draw_set(root):
    """The three images above in `root/images` with their file `root/set.json`."""
    draw_images(root / "images", *FILES.values())
    write(root)
    return root


def read_masks(root, classes=CAT_DOG, *, annotations="set.json", images="images", **arguments):
    """split -> {name: rows of class indices as digits, ? where they are ignored}"""
    config = data_config(format="coco", root=root, classes=classes, **arguments)
    decoder = LabelDecoder(config)
    options = {"annotations": annotations, "images": images, **arguments}
    if isinstance(annotations, str):
        options.setdefault("val_fraction", 0.4)
    splits = coco.read(root, classes=config.classes, **options)
    return {split: {s.name: rows(decoder.read(s)) for s in samples} for split, samples in splits.items()}


def rows(mask):
    return ["".join("?" if value == 255 else str(value) for value in row) for row in mask.tolist()]


def merged(splits):
    return {name: mask for masks in splits.values() for name, mask in masks.items()}


def error_of(read, root, *arguments, **keywords):
    with pytest.raises(DataError) as error:
        read(*arguments, **keywords)
    return str(error.value).replace(str(root), "R")
