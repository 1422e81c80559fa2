import json

import numpy as np
import pycocotools.mask
import pytest
from matplotlib.path import Path as Outline

from segtrain.commands.predict.polygons import cut_holes, find_regions, trace_regions
from segtrain.commands.predict.vectors import build_geojson
from segtrain.images import rle
from segtrain.inference.task import Task
from tests.painted import BINARY, LAYERS, TASK


def geojson_of(labels: np.ndarray, task: Task) -> dict:
    return json.loads("".join(build_geojson(find_regions(labels, task, simplify_px=0), task)))


def mask_of(text: str) -> np.ndarray:
    return np.array([[int(sign.replace(".", "0")) for sign in line] for line in text.split()])


def rings_of(labels: np.ndarray, index: int = 1) -> list[list[list[list[int]]]]:
    return [[ring.tolist() for ring in region.rings] for region in trace_regions(labels, {index})]


def fill(rings: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Pixels whose center is in the first ring and in none of the others."""
    y, x = np.mgrid[:height, :width] + 0.5
    middles = np.stack([x.ravel(), y.ravel()], axis=1)
    inside = [Outline(ring).contains_points(middles).reshape(height, width) for ring in rings]
    return inside[0] & ~np.any(inside[1:], axis=0) if len(rings) > 1 else inside[0]


def fill_coco(rings: list[np.ndarray], height: int, width: int) -> np.ndarray:
    runs = pycocotools.mask.frPyObjects([ring.ravel().tolist() for ring in rings], height, width)
    pixels = np.zeros(height * width, bool)
    rle.fill(pixels, rle.runs_of_counts(pycocotools.mask.merge(runs)["counts"].decode(), height, width), True)
    return pixels.reshape((height, width), order="F")


def twice_area(ring: np.ndarray) -> int:
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def test_an_outline_that_is_read_by_hand():
    labels = mask_of(".... .11. .1..")
    (region,) = trace_regions(labels, {1})
    assert region.index == 1 and region.area_px == 3 and region.box == (1, 1, 2, 2)
    (ring,) = region.rings
    assert ring.tolist() == [[1, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3]]


def test_a_region_with_a_hole_and_another_in_it():
    labels = mask_of("11111 1...1 1.1.1 1...1 11111")
    ring, dot = rings_of(labels)
    assert ring[0] == [[0, 0], [5, 0], [5, 5], [0, 5]]
    assert ring[1:] == [[[1, 4], [4, 4], [4, 1], [1, 1]]]  # the other way round
    assert dot == [[[2, 2], [3, 2], [3, 3], [2, 3]]]


def test_pixels_that_touch_at_a_corner_are_two_regions():
    assert rings_of(mask_of("1. .1")) == [[[[0, 0], [1, 0], [1, 1], [0, 1]]], [[[1, 1], [2, 1], [2, 2], [1, 2]]]]


def test_a_hole_that_touches_the_outline_at_a_corner_keeps_to_itself():
    ((outline, hole),) = rings_of(mask_of(".11 1.1 111"))
    assert outline == [[1, 0], [3, 0], [3, 3], [0, 3], [0, 1], [1, 1]]
    assert sorted(hole) == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_holes_that_touch_at_a_corner_are_two():
    ((_, *holes),) = rings_of(mask_of("1111 1.11 11.1 1111"))
    assert [sorted(hole) for hole in holes] == [
        [[1, 1], [1, 2], [2, 1], [2, 2]],
        [[2, 2], [2, 3], [3, 2], [3, 3]],
    ]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 4)])
def test_a_mask_of_one_class_is_a_rectangle(shape):
    height, width = shape
    (region,) = trace_regions(np.zeros(shape, np.uint8), {0})
    assert region.rings[0].tolist() == [[0, 0], [width, 0], [width, height], [0, height]]
    assert region.box == (0, 0, width, height) and region.area_px == height * width


def test_classes_that_are_not_there_or_not_asked_for():
    assert trace_regions(np.zeros((3, 4), np.uint8), {1}) == []
    assert [region.index for region in trace_regions(mask_of("012 012"), {0, 2, 7})] == [0, 2]


def nested(side: int) -> np.ndarray:
    """Squares in squares, alternately 0 and 1."""
    y, x = np.mgrid[:side, :side]
    return np.minimum.reduce([y, x, side - 1 - y, side - 1 - x]) % 2


def random_masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 16, (25, 2)).tolist()
    masks = [rng.integers(0, 3, size) for size in sizes]
    masks += [(rng.random((24, 31)) < share).astype(int) for share in (0.2, 0.5, 0.62, 0.8, 0.95)]
    masks.append(np.kron(rng.integers(0, 3, (6, 7)), np.ones((5, 4), int)))
    return [*masks, nested(15), 1 - nested(16)]


@pytest.mark.parametrize("labels", random_masks(), ids=lambda mask: "x".join(map(str, mask.shape)))
def test_whoever_fills_the_outlines_has_the_mask(labels):
    filled, cut, drawn = np.full((3, *labels.shape), -1)
    for region in trace_regions(labels, {0, 1, 2}):
        inside = fill(region.rings, *labels.shape)
        assert region.area_px == inside.sum() == sum(map(twice_area, region.rings)) / 2
        left, top, width, height = region.box
        assert (np.argwhere(inside).min(0) == (top, left)).all()
        assert (np.argwhere(inside).max(0) + 1 == (top + height, left + width)).all()
        assert (filled[inside] == -1).all()  # no pixel twice
        filled[inside] = region.index
        pieces = cut_holes(region)
        assert sum(map(twice_area, pieces)) == 2 * region.area_px  # no overlap
        for piece in pieces:
            cut[fill([piece], *labels.shape)] = region.index
        drawn[fill_coco(pieces, *labels.shape)] = region.index
        for ring in (*region.rings, *pieces):
            assert len(np.unique(ring, axis=0)) == len(ring)  # none meets itself
    assert np.array_equal(filled, labels) and np.array_equal(cut, labels) and np.array_equal(drawn, labels)


def test_a_region_without_holes_is_its_outline():
    (region,) = trace_regions(mask_of("11 1."), {1})
    assert [ring.tolist() for ring in cut_holes(region)] == [region.rings[0].tolist()]


def test_a_region_is_cut_down_the_first_column_of_its_hole():
    (region,) = trace_regions(mask_of("..... .1111 .1.11 .1111"), {1})
    left, right = sorted(sorted(ring.tolist()) for ring in cut_holes(region))
    assert left == [[1, 1], [1, 4], [2, 1], [2, 4]]
    assert right == [[2, 1], [2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [5, 1], [5, 4]]


def test_geojson():
    content = geojson_of(mask_of("00 02").astype(np.uint8), TASK)
    sky, car = content.pop("features")
    assert content == {"type": "FeatureCollection"}
    assert sky["properties"] == {"class": "sky", "index": 0, "area_px": 3} and sky["type"] == "Feature"
    assert car["properties"] == {"class": "car", "index": 2, "area_px": 1}
    assert car["geometry"] == {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]}


def test_the_background_of_one_class_is_not_drawn():
    labels = mask_of("010 111").astype(np.uint8)
    assert [region.index for region in find_regions(labels, BINARY, simplify_px=0)] == [1]
    assert [item["properties"]["class"] for item in geojson_of(labels, BINARY)["features"]] == ["road"]


def test_layers_are_drawn_one_by_one():
    layers = np.stack([mask_of("11 00"), mask_of("01 01"), mask_of("00 00")]).astype(np.uint8)
    found = [
        (item["properties"]["class"], item["geometry"]["coordinates"])
        for item in geojson_of(layers, LAYERS)["features"]
    ]
    assert found == [
        ("wet", [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]),
        ("road/lane", [[[1, 0], [2, 0], [2, 2], [1, 2], [1, 0]]]),
    ]
