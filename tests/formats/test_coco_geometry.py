"""Outlines that are not in pixels of their images, and published ways to write an object that are none of these."""

from functools import partial

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from segtrain.errors import DataError
from segtrain.formats import coco
from tests.formats.coco_export import annotation, write
from tests.formats.format_reading import data_config

WIDTH, HEIGHT = 320, 240
FILES = {number: f"{number}.png" for number in range(10)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    (root / "images").mkdir()
    for sides, name in (((HEIGHT, WIDTH), "images"), ((WIDTH, WIDTH), "square")):
        (root / name).mkdir(exist_ok=True)
        for file in FILES.values():
            Image.fromarray(np.zeros((*sides, 3), np.uint8)).save(root / name / file)
    return root


def diamonds(count=30, width=WIDTH, height=HEIGHT):
    """x, y, width and height of the boxes around rhombs that cover half of them; seeded, inside the image."""
    random = np.random.default_rng(0)
    sides = random.integers(24, 60, (count, 2))
    corners = (random.random((count, 2)) * ([width, height] - sides)).round()
    return [(*corner, *side) for corner, side in zip(corners.tolist(), sides.tolist(), strict=True)]


def polygon(x, y, w, h, sx=1.0, sy=1.0):
    return [[x * sx, (y + h / 2) * sy, (x + w / 2) * sx, y * sy, (x + w) * sx, (y + h / 2) * sy, (x + w / 2) * sx,
             (y + h) * sy]]  # fmt: skip


def runs(x, y, w, h, *, order="F", width=WIDTH, height=HEIGHT, compressed=False):
    """The runs of the lower left half of a box, along columns (F) or along rows (C)."""
    mask = np.zeros((height, width), np.uint8)
    x, y = int(x), int(y)
    mask[y : y + h, x : x + w] = np.tri(h, w, dtype=np.uint8)
    if compressed:
        counts = pycocotools.mask.encode(np.asfortranarray(mask))["counts"].decode()
        return {"counts": counts, "size": [height, width]}
    changes = np.flatnonzero(np.diff(mask.ravel(order=order), prepend=0, append=0))
    counts = np.diff(changes, prepend=0, append=mask.size).tolist()
    return {"counts": counts, "size": [height, width]}


def records(make, boxes=None):
    """An object for each box, in turn in the images; `make` gives segmentation and what else is in the record."""
    objects = [make(*box) for box in boxes or diamonds()]
    return [annotation(n, n % len(FILES), 3, **fields) for n, fields in enumerate(objects)]


def scaled(sx, sy, **more):
    """Polygons in these units, with bbox and area in pixels unless `more` says otherwise."""
    return lambda x, y, w, h: (
        {"segmentation": polygon(x, y, w, h, sx, sy), "bbox": [x, y, w, h], "area": w * h / 2}
        | {key: value(x, y, w, h) for key, value in more.items()}
    )


def with_bbox(bbox):
    return lambda x, y, w, h: {"segmentation": polygon(x, y, w, h), "bbox": bbox(x, y, w, h), "area": w * h / 2}


def read(folder, objects, *, size=(HEIGHT, WIDTH), images="images", thorough=True):
    write(folder, annotations=objects, files=FILES, size=size, categories=[{"id": 3, "name": "cat"}])
    classes, notes = data_config(format="coco", root=folder, classes=["cat"]).classes, []
    coco.read(folder, annotations="set.json", images=images, classes=classes, notes=notes, thorough=thorough)
    return notes


RIGHT = {
    "as COCO has it": scaled(1, 1),
    "no bbox and no area": lambda *box: {"segmentation": polygon(*box)},
    "bbox and area 0": scaled(1, 1, bbox=lambda *_: [0, 0, 0, 0], area=lambda *_: 0),
    "bbox and area null": scaled(1, 1, bbox=lambda *_: None, area=lambda *_: None),
    "bbox and area empty": scaled(1, 1, bbox=lambda *_: [], area=lambda *_: ""),
    "bbox and area as text": scaled(1, 1, bbox=lambda *box: [*map(str, box)], area=lambda *_: "3"),
    "not finite": scaled(1, 1, bbox=lambda *_: [float("nan")] * 4, area=lambda *_: float("inf")),
    "rounded": scaled(1, 1, bbox=lambda x, y, w, h: [x // 4 * 4, y // 4 * 4, w // 4 * 4, h // 4 * 4]),
    "two corners": with_bbox(lambda x, y, w, h: [x, y, x + w, y + h]),
    "a middle": with_bbox(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
    "relative bbox": with_bbox(lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]),
    "relative middle": with_bbox(lambda x, y, w, h: [(x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT]),
    "percent bbox": with_bbox(lambda x, y, w, h: [x / 3.2, y / 2.4, w / 3.2, h / 2.4]),
    "a bbox of twice the image": with_bbox(lambda *box: [2 * side for side in box]),
    "a bbox of half the image": with_bbox(lambda *box: [side / 2 for side in box]),
    "a bbox elsewhere, the area right": with_bbox(lambda x, y, w, h: [(x + 160) % 260, (y + 120) % 180, w, h]),
    "loose": with_bbox(lambda x, y, w, h: [x - 15, y - 15, w + 30, h + 30]),
    "the whole image": with_bbox(lambda *_: [0, 0, WIDTH, HEIGHT]),
    "area in other units": scaled(1, 1, bbox=lambda *_: None, area=lambda x, y, w, h: w * h * 0.09),
    "area of the bbox": scaled(1, 1, bbox=lambda *_: None, area=lambda x, y, w, h: w * h),
    "cut by tiles": lambda x, y, w, h: {"segmentation": polygon(3 * x - 300, 3 * y - 250, 2 * w, 2 * h)},
    "tiny": lambda x, y, w, h: {"segmentation": polygon(x, y, 1, 1), "bbox": [x, y, 1, 1], "area": 1},
    "runs": lambda *box: {"segmentation": runs(*box), "bbox": [*box]},
    "compressed runs": lambda *box: {"segmentation": runs(*box, compressed=True), "bbox": [*box]},
    "runs of a line": lambda x, y, w, h: {"segmentation": runs(x, y, 1, h), "bbox": [x, y, 1, h]},
    "runs without a bbox": lambda *box: {"segmentation": runs(*box)},
    "crowds": lambda *box: {"segmentation": runs(*box), "bbox": [*box], "iscrowd": 0},
    "two parts": lambda x, y, w, h: {
        "segmentation": [*polygon(x, y, 4, 4), *polygon(x + w, y + h, 4, 4)],
        "bbox": [x, y, w + 4, h + 4],
        "area": 16,
    },
}


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize("case", RIGHT)
def test_what_is_published_is_read(case, thorough, folder):
    assert read(folder, records(RIGHT[case]), thorough=thorough) == []
    assert read(folder, records(RIGHT[case]), size=(None, None), thorough=thorough) == []


def test_objects_in_the_first_pixels_of_large_images_are_no_percent(folder):
    first = [(x / 4, y / 4, w / 4, h / 4) for x, y, w, h in diamonds()]
    assert read(folder, records(scaled(1, 1), first)) == []


own = {"bbox": lambda *_: None, "area": lambda *_: None}
UNIT, PERCENT = (1 / WIDTH, 1 / HEIGHT), (100 / WIDTH, 100 / HEIGHT)


def drawn(move):
    """Polygons of the boxes that `move` makes, with bbox and area where they were."""
    return lambda *box: scaled(1, 1)(*box) | {"segmentation": polygon(*move(*box))}


def bbox_in(sx, sy):
    return {"bbox": lambda x, y, w, h: [x * sx, y * sy, w * sx, h * sy], "area": lambda x, y, w, h: w * h / 2 * sx * sy}


WRONG = {
    "relative": (scaled(*UNIT), "relative to the image size (0 to 1)"),
    "relative, and nothing beside": (scaled(*UNIT, **own), "relative to the image size (0 to 1)"),
    "relative, as all else is": (scaled(*UNIT, **bbox_in(*UNIT)), "relative to the image size (0 to 1)"),
    "percent": (scaled(*PERCENT), "in percent of the image size"),
    "percent, by the area": (scaled(*PERCENT, bbox=lambda *_: None), "in percent of the image size"),
    "percent, by the bbox": (scaled(*PERCENT, area=lambda *_: None), "in percent of the image size"),
    "thousandths": (scaled(1000 / WIDTH, 1000 / HEIGHT), "in thousandths of the image size"),
    "thousandths, as all else is": (
        scaled(1000 / WIDTH, 1000 / HEIGHT, **bbox_in(1000 / WIDTH, 1000 / HEIGHT)),
        "in thousandths of the image size",
    ),
    "an image of half the size": (scaled(0.5, 0.5), "for an image of another size"),
    "an image of 1.6 times the size": (scaled(1.6, 1.6, **own), "for an image of another size"),
    "an image of another shape": (scaled(0.7, 1.4), "for an image of another size"),
    "exchanged": (lambda x, y, w, h: {"segmentation": polygon(y, x, h, w)}, "x and y swapped"),
    "exchanged beside a bbox": (drawn(lambda x, y, w, h: (y, x, h, w)), "x and y swapped"),
    "from below": (drawn(lambda x, y, w, h: (x, HEIGHT - y - h, w, h)), "y counted from the bottom"),
    "from the bbox": (drawn(lambda x, y, w, h: (0, 0, w, h)), "counted from the corner of the bbox"),
    "others": (
        lambda x, y, w, h: scaled(1, 1)(x, y, w, h) | {"segmentation": polygon((x + 160) % 260, (y + 120) % 180, 9, 9)},
        "a segmentation of another image or object",
    ),
    "rows": (lambda *box: {"segmentation": runs(*box, order="C"), "bbox": [*box]}, "run lengths along rows"),
    "rows, and nothing beside": (lambda *box: {"segmentation": runs(*box, order="C")}, "run lengths along rows"),
}


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_in_pixels_is_refused(case, thorough, folder):
    make, likely = WRONG[case]
    with pytest.raises(DataError) as error:
        read(folder, records(make), thorough=thorough)
    text = str(error.value)
    assert text.startswith(f"{folder}/set.json: annotation ") and likely in text and "\n" not in text


def test_percent_in_images_of_any_size_whose_bbox_and_area_are_percent_too(folder):
    with pytest.raises(DataError, match="in percent of the image size"):
        edges = [(0, 0, 30, 30), (WIDTH - 30, HEIGHT - 30, 30, 30)]
        read(folder, records(scaled(*PERCENT, **bbox_in(*PERCENT)), [*diamonds(), *edges]))


def test_runs_along_the_rows_of_a_square(folder):
    make = partial(runs, width=WIDTH, height=WIDTH)
    boxes = [(max(x, y) + 30, min(x, y), w, h) for x, y, w, h in diamonds(width=180)]
    right = records(lambda *box: {"segmentation": make(*box), "bbox": [*box]}, boxes)
    assert read(folder, right, size=(WIDTH, WIDTH), images="square") == []
    wrong = records(lambda *box: {"segmentation": make(*box, order="C"), "bbox": [*box]}, boxes)
    with pytest.raises(DataError, match="run lengths along rows"):
        read(folder, wrong, size=(WIDTH, WIDTH), images="square")


def test_the_line(folder):
    with pytest.raises(DataError) as error:
        read(folder, records(scaled(*PERCENT), [(32, 24, 64, 48)] * 3))
    assert str(error.value) == (
        f"{folder}/set.json: annotation 0 spans x 10 to 30 and y 10 to 30 in an image of 320 x 240 pixels with the "
        "bbox [32, 24, 64, 48], like 3 of 3 objects; expected pixels from the upper left corner, most likely found "
        "coordinates in percent of the image size; export them in pixels of these images"
    )


@pytest.mark.parametrize("order", [lambda x, y, w, h: [y, x, h, w], lambda x, y, w, h: [y, x, y + h, x + w]])
def test_a_bbox_whose_x_and_y_are_exchanged_refuses_no_polygons(order, folder):
    assert read(folder, records(with_bbox(order))) == []


def test_a_few_that_are_elsewhere_are_a_note_when_all_are_looked_at(folder):
    objects = records(scaled(1, 1))
    objects[7] |= {"bbox": [objects[7]["bbox"][0] + 200 - 400 * (objects[7]["bbox"][0] > 160), 0, 20, 20], "area": 9}
    assert read(folder, objects) == [
        f"{folder}/set.json: 1 of 30 objects are not where their bbox says, for example annotation 7: a segmentation "
        "of another image or object?"
    ]
