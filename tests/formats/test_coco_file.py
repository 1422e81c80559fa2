from functools import partial

import numpy as np
import pytest
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.data.statistics import count_pixels
from segtrain.errors import DataError
from segtrain.formats import coco
from tests.formats.coco_export import (
    ANNOTATIONS,
    CAT_DOG,
    CATEGORIES,
    FILES,
    annotation,
    box,
    draw_set,
    error_of,
    merged,
    read_masks,
    write,
)
from tests.formats.format_reading import data_config


@pytest.fixture
def root(tmp_path):
    return draw_set(tmp_path / "set")


@pytest.fixture
def read(root):
    return partial(read_masks, root)


PALETTE = {0: (0, 0, 0), 65: (65, 0, 0), 258: (2, 1, 0), 131072: (0, 0, 2)}
SEGMENTS = [[65, 65, 258, 258, 0, 0]] * 3 + [[131072] * 6] * 2


def write_panoptic(root, *, segments=SEGMENTS, **changes):
    (root / "panoptic").mkdir(exist_ok=True)
    colors = np.array([[PALETTE[value] for value in row] for row in segments], np.uint8)
    Image.fromarray(colors).save(root / "panoptic" / "a.png")
    known = [
        {"id": 65, "category_id": 7},
        {"id": 258, "category_id": 3},
        {"id": 131072, "category_id": 7, "iscrowd": 1},
    ]
    write(root, annotations=[{"image_id": 10, "file_name": "a.png", "segments_info": known} | changes])


def test_panoptic_pictures(read, root):
    write_panoptic(root)
    masks = merged(read(panoptic="panoptic"))
    assert masks == {"a": ["221100"] * 3 + ["??????"] * 2, "b": ["000000"] * 5, "deep/c": ["000000"] * 5}
    masks = merged(read(["cat", "dog"], panoptic="panoptic", unlabeled="ignore", crowd="class"))
    assert masks["a"] == ["0011??"] * 3 + ["000000"] * 2 and masks["b"] == ["??????"] * 5
    splits = read(annotations={"train": "set.json"}, images={"train": "images"}, panoptic={"train": "panoptic"})
    assert splits["train"]["a"][0] == "221100"


PANOPTIC_MISTAKES = {
    "an unknown segment": ({"segments_info": []}, "R/panoptic/a.png: R/set.json has no segment 65, which occurs in it"),
    "an unknown category": (
        {"segments_info": [{"id": 65, "category_id": 8}]},
        "R/set.json: annotations[0].segments_info[0] has the unknown category 8; known: 7, 3, 90",
    ),
    "a segment without an id": (
        {"segments_info": [{"category_id": 7}]},
        "R/set.json: annotations[0].segments_info[0] has no id",
    ),
    "an unknown image": ({"image_id": 9}, "R/set.json: annotations[0] belongs to the unknown image 9"),
    "segments that are no list": ({"segments_info": 3}, "R/set.json: annotations[0] has 3 as segments_info"),
    "an id that is a text": (
        {"segments_info": [{"id": "65", "category_id": 7}]},
        "R/set.json: annotations[0].segments_info[0] has the id '65'; ids are integers",
    ),
    "no picture": ({"file_name": "x.png"}, "R/set.json: annotations[0]: R/panoptic/x.png does not exist"),
    "another size": ({"segments": SEGMENTS[:4]}, "R/panoptic/a.png: is 6 x 4 pixels, but R/images/a.jpg 6 x 5"),
}


@pytest.mark.parametrize("case", PANOPTIC_MISTAKES)
def test_panoptic_files_that_are_wrong(case, read, root):
    changes, text = PANOPTIC_MISTAKES[case]
    write_panoptic(root, **changes)
    assert error_of(read, root, panoptic="panoptic") == text


def test_a_panoptic_file_and_a_file_of_objects_are_told_apart(read, root):
    write_panoptic(root)
    assert error_of(read, root) == "R/set.json: is a panoptic file; write its folder of PNG files in data.panoptic"
    write(root)
    text = "R/set.json: annotations[0] has no file_name and no segments_info"
    assert error_of(read, root, panoptic="panoptic") == text


def test_what_was_counted_is_counted_anew_when_a_panoptic_picture_changes(root, tmp_path):
    write_panoptic(root)
    config = data_config(format="coco", root=root, classes=CAT_DOG)
    options = {"annotations": "set.json", "images": "images", "panoptic": "panoptic", "val_fraction": 0.4}
    decoder = LabelDecoder(config)

    def count():
        splits = coco.read(root, classes=config.classes, **options)
        counts = [count_pixels(samples, decoder, cache=tmp_path / "cache") for samples in splits.values()]
        return np.concatenate(counts).sum(axis=0).tolist()

    assert count() == [6 + 60, 6, 6, 12, 90]  # background, dog, cat, ignored, all
    write_panoptic(root, segments=[[258, 258, 65, 0, 0, 0]] * 3 + [[131072] * 6] * 2)
    assert count() == [9 + 60, 6, 3, 12, 90]


def changed(place, **changes):
    return {"annotations": [*ANNOTATIONS[:place], ANNOTATIONS[place] | changes, *ANNOTATIONS[place + 1 :]]}


# What is written into the file -> the line
MISTAKES = {
    "labels that no class claims": (
        {"annotations": [*ANNOTATIONS, annotation(6, 10, 90, box(0, 0, 1, 1)), annotation(7, 10, 90, box(0, 0, 1, 1))]},
        "R/set.json: no class claims the labels of 2 objects: tree (2); the classes claim: background, dog, cat; add "
        "them to classes, like {name: .., labels: [tree]}, or write data.other_labels: background or ignore",
    ),
    "a label that is a number": (
        {"categories": [{"id": 7, "name": 5}], "annotations": ANNOTATIONS[:1]},
        "R/set.json: no class claims the labels of 1 object: 5 (1); the classes claim: background, dog, cat; add "
        'them to classes, like {name: .., labels: ["5"]}, or write data.other_labels: background or ignore',
    ),
    "no categories": (
        {"categories": None},
        "R/set.json: is not an annotation file of COCO: it has no categories; its keys: info, images, annotations",
    ),
    "annotations that are no list": (
        {"annotations": {}},
        "R/set.json: is not an annotation file of COCO: annotations is not a list",
    ),
    "an unknown category": (
        changed(1, category_id="cat"),
        "R/set.json: annotation 2 has the unknown category 'cat'; known: 7, 3, 90",
    ),
    "an unknown image": (changed(1, image_id="10"), "R/set.json: annotation 2 belongs to the unknown image '10'"),
    "an image that is a list": (changed(1, image_id=[10]), "R/set.json: annotation 2 has [10] as image_id"),
    "a category that is a mapping": (changed(1, category_id={}), "R/set.json: annotation 2 has {} as category_id"),
    "an annotation without an image": ({"annotations": [{"id": 4}]}, "R/set.json: annotation 4 has no image_id"),
    "an annotation that is nothing": ({"annotations": [None]}, "R/set.json: annotations[0] has no image_id"),
    "an image without a name": ({"images": [{"id": 1}]}, "R/set.json: images[0] has no file_name"),
    "a category without a name": ({"categories": [{"id": 7}]}, "R/set.json: categories[0] has no name"),
    "a name twice": (
        {"files": FILES | {14: "a.jpg"}},
        "R/set.json: the images 10 and 14 have the same name a",
    ),
    "an image id twice": (
        {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
        "R/set.json: R/images/a.jpg and b.jpg have the same id 1",
    ),
    "a category id twice": (
        {"categories": [*CATEGORIES, {"id": 3, "name": "bird"}]},
        "R/set.json: the categories dog and bird have the same id 3",
    ),
    "images that are not there": (
        {"files": FILES | {place: f"x{place}.jpg" for place in range(4)}},
        "R/set.json: 4 of 7 images are not in R/images: x0.jpg, x1.jpg, x2.jpg and 1 more",
    ),
    "boxes": (
        {"annotations": [{"id": 5, "image_id": 10, "category_id": 7, "bbox": [0, 0, 1, 1]}, annotation(6, 10, 7, [])]},
        "R/set.json: 2 of 2 objects have no segmentation, for example annotation 5; boxes do not make masks: export "
        "the dataset for segmentation, not for detection",
    ),
    "another size": (
        {"size": (5, 7)},
        "R/set.json: says that the image has 7 x 5 pixels, but R/images/a.jpg has 6 x 5",
    ),
    "counts of another size": (
        changed(2, segmentation={"counts": [28, 2], "size": [6, 5]}),
        "R/set.json: annotation 3 of a.jpg: its size is [6, 5], but the image is [5, 6]",
    ),
    "counts of too few pixels": (
        changed(2, segmentation={"counts": [27, 2], "size": [5, 6]}),
        "R/set.json: annotation 3 of a.jpg: its counts add up to 29 pixels, but the image has 30, 6 x 5",
    ),
    "a point far outside": (
        changed(0, segmentation=[[0, 0, 1, 1, 0, 1e8]]),
        "R/set.json: annotation 1 of a.jpg: a point at 100000000.0 is far outside the image, 6 x 5",
    ),
    "a coordinate that is not a number": (
        changed(0, segmentation=[[0, 0, 3, 0, 3, float("nan")]]),
        "R/set.json: annotation 1 of a.jpg: a point at nan is far outside the image, 6 x 5",
    ),
    "a coordinate without end": (
        changed(0, segmentation=[[0, 0, 3, 0, 3, float("inf")]]),
        "R/set.json: annotation 1 of a.jpg: a point at inf is far outside the image, 6 x 5",
    ),
    "a coordinate that is a text": (
        changed(0, segmentation=[[0, 0, 3, 0, 3, "3"]]),
        "R/set.json: annotation 1 of a.jpg: its segmentation is neither a list of polygons [x, y, x, y, ..] nor "
        "{counts, size}",
    ),
    "an outline of millions of pixels": (
        changed(0, segmentation=[[0, 0, 6, 5, 6, 0, 0, 5] * 200_000]),
        "R/set.json: annotation 1 of a.jpg: its outline is 6,400,000 pixels long; at most 5,000,000 are supported",
    ),
    "runs of a number without end": (
        changed(2, segmentation={"counts": "o" * 1_000_000, "size": [5, 6]}),
        "R/set.json: annotation 3 of a.jpg: its compressed counts contain a number larger than any image",
    ),
    "runs of huge numbers": (
        changed(2, segmentation={"counts": [10**30, 2], "size": [5, 6]}),
        "R/set.json: annotation 3 of a.jpg: its counts are not valid numbers of pixels",
    ),
    "an image of a huge height": (
        {"size": (10**400, 6), **changed(0, area=3, bbox=None)},
        f"R/set.json: says that the image has 6 x {10**400} pixels, but R/images/a.jpg has 6 x 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_files_that_are_wrong(case, read, root):
    changes, text = MISTAKES[case]
    write(root, **changes)
    assert error_of(read, root, annotations={"train": "set.json"}) == text


def test_no_json(read, root):
    (root / "set.json").write_text('{"images": [],\n')
    text = "R/set.json:2: is not JSON: Expecting property name enclosed in double quotes (column 1)"
    assert error_of(read, root) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("9" * 5000, "R/set.json: contains a number with more than 4,300 digits"),
        ("[" * 100_000 + "]" * 100_000, "R/set.json: is nested too deeply"),
        (
            "[" * 400 + "]" * 400,
            "R/set.json: annotation 4 of c.png: its segmentation is neither a list of polygons [x, y, x, y, ..] nor "
            "{counts, size}",
        ),
    ],
    ids=["digits", "deep", "less deep"],
)
def test_json_that_is_too_much(value, text, read, root):
    write(root, annotations=[ANNOTATIONS[3] | {"segmentation": "@"}])
    content = (root / "set.json").read_text().replace('"@"', value)
    (root / "set.json").write_text(content)
    assert error_of(read, root, annotations={"train": "set.json"}) == text


def test_ids_are_any_numbers_that_agree(read, root):
    objects = [annotation(-1, -10, -7, box(1, 1, 3, 2)), annotation(-1, -10, -7, box(3, 1, 5, 2))]
    write(root, files={-10: "a.jpg"}, categories=[{"id": -7, "name": "cat"}], annotations=objects)
    assert read(annotations={"train": "set.json"})["train"]["a"][1] == "022220"


KEY_MISTAKES = {
    "no splits": {"annotations": {}, "images": {}},
    "no train": {"annotations": {"val": "set.json"}, "images": {"val": "images"}},
    "splits that differ": {"annotations": {"train": "set.json"}, "images": {"train": "images", "val": "images"}},
    "splits of one": {"annotations": "set.json", "images": {"train": "images"}},
}


@pytest.mark.parametrize("case", KEY_MISTAKES)
def test_keys_that_do_not_agree(case, read, root):
    text = "data.annotations, data.images, data.panoptic: write a file and a folder, or {train: .., val: ..} for each"
    assert error_of(read, root, **KEY_MISTAKES[case]) == text


def test_a_root_beside_the_right_one(root):
    config = data_config(format="folders", root=root, classes=["background", "cat", "dog"])
    with pytest.raises(DataError) as error:
        coco.read(root.parent, annotations="set.json", images="images", classes=config.classes)
    text = f"data.root: {root.parent} has no set.json, but {root} has; write data.root: {root}"
    assert str(error.value) == text
