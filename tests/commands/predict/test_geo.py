"""Predictions of georeferenced images lie where the images do, below and above the size that is predicted in rows."""

import csv
import json
import sqlite3
import sys

import numpy as np
import pytest
import rasterio
import tifffile

from segtrain.commands.evaluate.compare import pair_predictions, read_prediction
from segtrain.commands.predict import raster
from segtrain.errors import ConfigError, DataError
from segtrain.formats.sample import Sample
from segtrain.inference.task import Task
from tests.commands.predict.geo_files import GRID, PX_M, TURNED, TYPES, X, Y, burn, grid_of, read_vectors, save
from tests.commands.predict.predicting import names_in, run
from tests.painted import BINARY, COLORS, LAYERS, TASK, paint, painted, random_classes, read

KINDS = ("index", "overlay", "geojson", "geopackage")
HEIGHT, WIDTH = 41, 63
CLASSES = random_classes(3, HEIGHT, WIDTH)


@pytest.fixture(params=["small", "large"])
def size(request, monkeypatch):
    """Both ways through predict.py."""
    if request.param == "large":
        monkeypatch.setattr(raster, "LARGE_PX", 100)
    return request.param


def predict(tmp_path, *, task=TASK, kinds=KINDS, **options):
    report = run(tmp_path / "in", tmp_path / "out", painted(task, tile_px=32), kinds=kinds, **options)
    assert not report.failures
    return [note for note in report.notes if "replaced" not in note]


@pytest.mark.parametrize("tags", [GRID, TURNED], ids=["north up", "turned"])
def test_all_files_lie_where_the_image_does(tags, size, tmp_path):
    image = save(tmp_path / "in" / "a b.tif", CLASSES, tags)
    assert predict(tmp_path) == []
    assert names_in(tmp_path / "out") == ["a b.geojson", "a b.gpkg", "a b.tif", "a b_overlay.jpg", "manifest.csv"]
    with rasterio.open(image) as before, rasterio.open(tmp_path / "out" / "a b.tif") as after:
        assert after.crs == before.crs and after.crs.to_epsg() == 31982
        corners = np.array([(0, 0, 1), (WIDTH, 0, 1), (0, HEIGHT, 1), (WIDTH, HEIGHT, 1)]).T
        assert np.allclose(grid_of(after) @ corners, grid_of(before) @ corners, 0, 1e-6)
        assert np.array_equal(after.read(1), CLASSES) and after.nodata is None
        assert [after.colormap(1)[index][:3] for index in range(3)] == COLORS[:3]
        bounds = after.bounds if tags is GRID else None
    for name in ("a b.geojson", "a b.gpkg"):
        crs, polygons, columns = read_vectors(tmp_path / "out" / name)
        assert crs == "EPSG:31982"
        if tags is GRID:
            left, bottom, right, top = np.array([polygon.bounds for polygon in polygons]).T
            assert np.allclose((left.min(), bottom.min(), right.max(), top.max()), bounds, 0, 1e-6)
        assert np.array_equal(burn(tmp_path / "out" / name, image), CLASSES)
        assert all(polygon.exterior.is_ccw for polygon in polygons)
        pixel_m2 = PX_M**2 if tags is GRID else 0.1
        assert np.allclose(columns["area_m2"], np.array(columns["area_px"]) * pixel_m2)
        assert np.allclose([polygon.area for polygon in polygons], columns["area_m2"], 1e-6)


def test_in_rows_the_result_is_that_of_the_whole(tmp_path, monkeypatch):
    save(tmp_path / "in" / "a.tif", CLASSES)
    predict(tmp_path, min_area_px=30, simplify_px=1.0)
    (tmp_path / "out").rename(tmp_path / "whole")
    monkeypatch.setattr(raster, "LARGE_PX", 100)
    predict(tmp_path, min_area_px=30, simplify_px=1.0)
    for name in ("a.geojson", "manifest.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    whole = tifffile.imread(tmp_path / "whole" / "a.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "a.tif"), whole) and (whole != CLASSES).any()
    assert read_vectors(tmp_path / "out" / "a.gpkg") == read_vectors(tmp_path / "whole" / "a.gpkg")


def test_pixels_without_data_are_of_no_class(size, tmp_path):
    classes = np.where(np.arange(WIDTH) < 20, 7, CLASSES)
    other = np.where(classes == 7, 7, 0)
    save(tmp_path / "in" / "a.tif", classes, {**GRID, 42113: "7"}, other, other)
    predict(tmp_path)
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert file.nodata == 255 and np.array_equal(file.read(1), np.where(classes == 7, 255, CLASSES))
    assert np.array_equal(burn(tmp_path / "out" / "a.gpkg", tmp_path / "in" / "a.tif")[:, 20:], CLASSES[:, 20:])
    assert (burn(tmp_path / "out" / "a.geojson", tmp_path / "in" / "a.tif")[:, :20] == 254).all()
    (row,) = csv.DictReader((tmp_path / "out" / "manifest.csv").read_text().splitlines())
    shares = [float(row[f"share_{name}"]) for name in TASK.names]
    assert np.allclose(shares, np.bincount(CLASSES[:, 20:].ravel()) / CLASSES[:, 20:].size, atol=1e-6)


def test_where_alpha_is_0_there_is_no_data(size, tmp_path):
    alpha = np.where(np.arange(WIDTH) < 20, 0, 255) + np.zeros_like(CLASSES, int)
    zeros = np.zeros_like(CLASSES)
    save(tmp_path / "in" / "a.tif", CLASSES, GRID, zeros, zeros, alpha, extrasamples=["unassalpha"])
    predict(tmp_path, kinds=["index", "color"])
    expected = np.where(alpha == 0, 255, CLASSES)
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "a.tif"), expected)
    if size == "small":
        assert np.array_equal(read(tmp_path / "out" / "a_color.png"), np.where(alpha == 0, 3, CLASSES))


def test_with_256_classes_no_data_needs_16_bits(size, tmp_path):
    names = [f"class {index}" for index in range(256)]
    task = Task(mode="multiclass", names=names, colors=[(index, 0, 0) for index in range(256)])
    red = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256
    save(tmp_path / "in" / "a.tif", red, {**GRID, 42113: "9"}, np.full_like(red, 9), np.full_like(red, 9))
    predict(tmp_path, task=task, kinds=["index"])
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert file.nodata == 65535 and np.array_equal(file.read(1), np.where(red == 9, 65535, red))


def test_classes_that_overlap_are_bands(size, tmp_path):
    red, green, blue = (255 * (index == CLASSES) for index in range(3))
    save(tmp_path / "in" / "a.tif", red, GRID, green, blue)
    predict(tmp_path, task=LAYERS)
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert np.array_equal(file.read(), [red, green, blue]) and file.descriptions == ("wet", "road/lane", "car")
    assert np.array_equal(burn(tmp_path / "out" / "a.gpkg", tmp_path / "in" / "a.tif"), CLASSES)


def test_the_background_of_one_class_is_not_in_the_layer_and_a_layer_may_be_empty(size, tmp_path):
    save(tmp_path / "in" / "a.tif", 255 * (CLASSES == 1))
    save(tmp_path / "in" / "b.tif", 0 * CLASSES)
    predict(tmp_path, task=BINARY)
    _, _, columns = read_vectors(tmp_path / "out" / "a.gpkg")
    assert set(columns["class"]) == {"road"} and sum(columns["area_px"]) == (CLASSES == 1).sum()
    assert read_vectors(tmp_path / "out" / "b.gpkg")[:2] == ("EPSG:31982", [])
    assert read_vectors(tmp_path / "out" / "b.geojson")[1] == []


def test_qgis_finds_the_colors_of_the_classes(tmp_path):
    save(tmp_path / "in" / "a.tif", CLASSES)
    predict(tmp_path, kinds=["geopackage"])
    with sqlite3.connect(tmp_path / "out" / "a.gpkg") as file:
        table, column, style = file.execute(
            "SELECT f_table_name, f_geometry_column, styleQML FROM layer_styles WHERE useAsDefault"
        ).fetchone()
    file.close()
    assert (table, column) == ("prediction", "geom")
    assert '<category value="1" symbol="1" label="road"' in style and "200,0,0,255" in style


def test_a_picture_with_a_world_file_becomes_a_geotiff(tmp_path):
    paint(tmp_path / "in" / "a.png", CLASSES)
    (tmp_path / "in" / "a.pgw").write_text(f"{PX_M}\n0\n0\n-{PX_M}\n{X + PX_M / 2}\n{Y - PX_M / 2}\n")
    paint(tmp_path / "in" / "b.png", CLASSES)
    reason = "the georeference has no EPSG code; outlines use its coordinates, and GeoJSON names no system"
    assert predict(tmp_path) == [f"{tmp_path / 'in' / 'a.png'}: {reason}"]
    with rasterio.open(tmp_path / "out" / "a.tif") as file:
        assert np.allclose(file.transform[:6], (PX_M, 0, X, 0, -PX_M, Y), 0, 1e-6)
    assert np.array_equal(read(tmp_path / "out" / "b.png"), CLASSES)  # as ever
    assert "crs" not in json.loads((tmp_path / "out" / "a.geojson").read_text())
    assert max(read_vectors(tmp_path / "out" / "b.gpkg")[1][0].bounds) < 100


def test_a_number_that_epsg_does_not_have(tmp_path):
    save(tmp_path / "in" / "a.tif", CLASSES, {**GRID, 34735: (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 9999)})
    predict(tmp_path, kinds=["geopackage"])
    crs, polygons, _ = read_vectors(tmp_path / "out" / "a.gpkg")
    assert "Undefined" in crs and polygons[0].bounds[0] > 1000


@pytest.mark.parametrize(
    ("missing", "options", "what"),
    [("pyogrio", {"kinds": ["geopackage"]}, "--save geopackage"), ("shapely", {"simplify_px": 1.0}, "--simplify")],
)
def test_without_the_extra(missing, options, what, tmp_path, monkeypatch):
    save(tmp_path / "in" / "a.tif", CLASSES)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError) as error:
        predict(tmp_path, **{"kinds": ["geojson"], **options})
    install = f'{what} needs {missing}; in the segtrain folder, run: pip install -e ".[geo]"'
    assert str(error.value) == install and not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", [TASK, BINARY, LAYERS], ids=lambda task: task.mode)
def test_evaluate_reads_what_predict_wrote(task, tmp_path):
    red, green = 255 * (CLASSES == 1), 255 * (CLASSES == 2)
    image = save(tmp_path / "in" / "a.tif", CLASSES if task is TASK else red, GRID, green)
    predict(tmp_path, task=task, kinds=["index", "color"])
    paths = pair_predictions(tmp_path / "out", [Sample("a", str(image), "")], task)["a"]
    assert paths == [tmp_path / "out" / "a.tif"]
    expected = np.stack([red, green, 0 * red]) // 255 if task is LAYERS else CLASSES if task is TASK else red // 255
    assert np.array_equal(read_prediction(paths, str(image), expected, task), expected)


def test_two_images_that_would_write_one_geotiff(tmp_path):
    save(tmp_path / "in" / "a.tif", CLASSES)
    save(tmp_path / "in" / "a.tiff", CLASSES)
    with pytest.raises(DataError) as error:
        predict(tmp_path)
    first, second = tmp_path / "in" / "a.tif", tmp_path / "in" / "a.tiff"
    clash = f"{first} and {second} would both be written to {tmp_path / 'out' / 'a.tif'}; use a separate -o for each"
    assert str(error.value) == clash


UNUSABLE = "the georeference cannot be used ({}); class indices are written as PNG, outlines in pixels"
NO_GRID = "the georeference is not a grid ({}); outlines are in pixels; use gdalwarp to make a grid"
NO_CODE = "the georeference has no EPSG code; outlines use its coordinates, and GeoJSON names no system"
DEGREES = "EPSG:4326 is not in meters or feet, as far as the file says; outlines have no area_m2"
NOT_FINITE = "its pixels have no size, or numbers are not finite"
SCALE, POINT = GRID[33550], GRID[33922]
ODD = {
    "no keys": ({33550: SCALE, 33922: POINT}, NO_CODE),
    "a system of its own": ({**GRID, 34735: (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32767)}, NO_CODE),
    "no model": ({**GRID, 34735: (1, 1, 0, 1, 1025, 0, 1, 1)}, NO_CODE),
    "degrees": ({**GRID, 34735: (1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326)}, DEGREES),
    "a scale of two numbers": ({**GRID, 33550: (0.5, 0.5)}, None),
    "a scale of one number": ({**GRID, 33550: (0.5,)}, UNUSABLE.format("the tag ModelPixelScale has 1 numbers")),
    "a short matrix": ({34264: (1.0, 2.0)}, UNUSABLE.format("the tag ModelTransformation has 2 numbers")),
    "not a number": ({**GRID, 33922: (0.0, 0.0, 0.0, float("nan"), Y, 0.0)}, UNUSABLE.format(NOT_FINITE)),
    "no size": ({**GRID, 33550: (0.0, 0.0, 0.0)}, UNUSABLE.format(NOT_FINITE)),
    "huge": ({**GRID, 33550: (1e200, 1e200, 0.0)}, UNUSABLE.format(NOT_FINITE)),
    "tie points": ({33922: (*POINT, 9.0, 0.0, 0.0, X + 4, Y, 0.0) * 2}, NO_GRID.format("it has 4 tie points")),
    "a camera": ({50844: (0.0,) * 92}, NO_GRID.format("it has the RPC coefficients of a camera")),
    "one tie point": (
        {33922: POINT},
        UNUSABLE.format("one of the tags ModelPixelScale and ModelTiepoint is missing"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_georeferences_are_predicted_and_told(case, tmp_path):
    tags, reason = ODD[case]
    image = save(tmp_path / "in" / "a.tif", CLASSES, tags)
    assert predict(tmp_path) == ([] if reason is None else [f"{image}: {reason}"])
    with_place = reason is None or not reason.startswith("the georeference cannot")
    assert (tmp_path / "out" / ("a.tif" if with_place else "a.png")).exists()
    in_map = with_place and not (reason or "").startswith("the georeference is not")
    content = json.loads((tmp_path / "out" / "a.geojson").read_text())
    assert (max(content["features"][0]["geometry"]["coordinates"][0][0]) > 1000) == in_map
    with tifffile.TiffFile(image) as before:
        kept = {code: before.pages[0].tags[code].value for code in tags}
    if with_place:
        with tifffile.TiffFile(tmp_path / "out" / "a.tif") as after:
            assert {code: after.pages[0].tags[code].value for code in kept} == kept


def test_a_turned_image_stays_a_png(tmp_path):
    turned = save(tmp_path / "in" / "b.tif", CLASSES, GRID)
    content = tifffile.imread(turned)
    extra = [(code, TYPES[code], len(value), value, True) for code, value in GRID.items()]
    tifffile.imwrite(turned, content, photometric="rgb", extratags=[*extra, (274, "H", 1, 3, True)])
    assert predict(tmp_path, kinds=["index"]) == [f"{turned}: {UNUSABLE.format('the image is stored rotated')}"]
    assert np.array_equal(read(tmp_path / "out" / "b.png"), CLASSES[::-1, ::-1])


def test_points_are_the_middle_of_pixels(tmp_path):
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 31982)
    image = save(tmp_path / "in" / "a.tif", CLASSES, {**GRID, 34735: keys})
    predict(tmp_path, kinds=["index", "geojson"])
    with rasterio.open(image) as before, rasterio.open(tmp_path / "out" / "a.tif") as after:
        assert before.transform == after.transform
    assert np.array_equal(burn(tmp_path / "out" / "a.geojson", image), CLASSES)


def test_images_with_one_fault_are_one_line(tmp_path):
    for name in "abcd":
        save(tmp_path / "in" / f"{name}.tif", CLASSES, {33550: SCALE})
        (tmp_path / "in" / f"{name}.tfw").write_text("1 2 3")
    fault = UNUSABLE.format("one of the tags ModelPixelScale and ModelTiepoint is missing")
    names = ", ".join(str(tmp_path / "in" / f"{name}.tif") for name in "abc")
    assert predict(tmp_path, kinds=["index"]) == [f"{names} and 1 more: {fault}"]


@pytest.mark.parametrize("text", ["", "1\n2\n3\n", "0,5\n0\n0\n-0,5\n1\n2\n", "\xff"])
def test_a_world_file_that_is_none(text, tmp_path):
    image = save(tmp_path / "in" / "a.tif", CLASSES, {})
    (tmp_path / "in" / "a.tfw").write_text(text, encoding="latin-1")
    reason = UNUSABLE.format("a.tfw does not contain six numbers")
    assert predict(tmp_path, kinds=["index"]) == [f"{image}: {reason}"]
