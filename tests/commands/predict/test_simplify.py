"""--simplify: outlines with fewer corners, in which adjacent regions still share their borders."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize

from segtrain.commands.predict.polygons import cut_holes, trace_regions
from segtrain.errors import ConfigError
from tests.commands.predict.geo_files import save
from tests.commands.predict.predicting import run
from tests.commands.predict.test_polygons import mask_of, nested


def blobs(seed: int, height: int, width: int, classes: int) -> np.ndarray:
    """HW uint8 of classes with round borders, from the nearest of some points and the distance to it."""
    rng = np.random.default_rng(seed)
    points = rng.random((height * width // 60 + 1, 2)) * (height, width)
    away = np.hypot(*(np.indices((height, width))[:, None] - points.T[:, :, None, None]))
    nearest = away.argmin(axis=0)
    return ((nearest + (away.min(axis=0) < 3)) % classes).astype(np.uint8)


def polygons_of(labels: np.ndarray, tolerance: float) -> tuple[list[int], list[shapely.Polygon]]:
    regions = trace_regions(labels, set(np.unique(labels).tolist()), simplify_px=tolerance)
    return [r.index for r in regions], [shapely.Polygon(r.rings[0], r.rings[1:]) for r in regions]


def require_sound(labels: np.ndarray, tolerance: float) -> None:
    """All regions are valid polygons without gaps and overlaps; only pixels near the old borders change."""
    indices, exact = polygons_of(labels, 0)
    after, simple = polygons_of(labels, tolerance)
    assert after == indices and all(polygon.is_valid and polygon.area > 0 for polygon in simple)
    assert shapely.coverage_is_valid(simple)
    assert shapely.union_all(simple).equals(shapely.box(0, 0, *labels.shape[::-1]))
    burnt = rasterize(list(zip(simple, indices, strict=True)), out_shape=labels.shape, fill=99, dtype="uint8")
    middles = shapely.points(np.argwhere(burnt != labels)[:, ::-1] + 0.5)
    border = shapely.union_all([polygon.boundary for polygon in exact])
    assert (shapely.distance(border, middles) <= tolerance + 1e-9).all()


def test_a_staircase_becomes_a_line():
    labels = np.tri(8, dtype=np.uint8)
    _, (above, below) = polygons_of(labels, 1.0)
    shared = shapely.intersection(above, below)
    assert shapely.get_num_coordinates(shapely.line_merge(shared)) < 5 < 15
    assert len(above.exterior.coords) + len(below.exterior.coords) < 14
    require_sound(labels, 1.0)


def test_pixels_alone_stay():
    labels = mask_of("00000 01020 00000 03002 00000").astype(np.uint8)
    indices, polygons = polygons_of(labels, 30.0)
    assert indices == [0, 1, 2, 2, 3] and [polygon.area for polygon in polygons[1:]] == [1.0] * 4


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 1.5, 3.0, 20.0])
def test_borders_stay_shared(tolerance):
    for seed in range(4):
        require_sound(blobs(seed, 40 + seed, 50, 2 + seed), tolerance)
    require_sound(np.random.default_rng(0).integers(0, 3, (20, 23)).astype(np.uint8), tolerance)
    require_sound(nested(15).astype(np.uint8), tolerance)


def test_twelve_aerial_tiles():
    """Like tiles of an orthophoto: rotated buildings, streets, single trees."""
    corners = {0: 0, 1.5: 0}
    for tile in range(12):
        y, x = np.indices((128, 160))
        turned = [c * (x - 80) + s * (y - 64) for c, s in ((np.cos(tile), np.sin(tile)), (-np.sin(tile), np.cos(tile)))]
        labels = (np.abs(turned[0]) < 9).astype(np.uint8)
        labels[(turned[0] % 40 > 18) & (turned[1] % 30 > 9) & (labels == 0)] = 2
        for seed in range(9):
            center = np.random.default_rng(100 * tile + seed).random(2) * (128, 160)
            labels[np.hypot(y - center[0], x - center[1]) < 2 + seed / 2] = 3
        require_sound(labels, 1.5)
        for tolerance in corners:
            regions = trace_regions(labels, {0, 1, 2, 3}, simplify_px=tolerance)
            corners[tolerance] += sum(len(ring) for region in regions for ring in region.rings)
    assert corners[1.5] < 0.6 * corners[0]


def test_holes_of_simplified_regions_are_cut_open():
    labels = blobs(1, 60, 60, 3)
    with_holes = [region for region in trace_regions(labels, {0, 1, 2}, simplify_px=1.0) if len(region.rings) > 1]
    assert with_holes
    for region in with_holes:
        whole = shapely.Polygon(region.rings[0], region.rings[1:])
        pieces = [shapely.Polygon(ring) for ring in cut_holes(region)]
        assert all(piece.is_valid for piece in pieces)
        assert abs(sum(piece.area for piece in pieces) - whole.area) < 1e-6
        assert shapely.symmetric_difference(shapely.union_all(pieces, grid_size=1e-9), whole).area < 1e-6


def test_kinds_without_outlines_are_refused(tmp_path):
    save(tmp_path / "in" / "a.tif", np.zeros((3, 4)))
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=["index", "coco-rle", "rle"], simplify_px=1.0)
    options = "geojson, geopackage, coco, labelme"
    assert (
        str(error.value)
        == f"--simplify changes outlines, but --save lists no output that has them; add one of {options} to --save"
    )
