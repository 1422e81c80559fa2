import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from segtrain.commands.predict.outputs import KINDS
from segtrain.commands.predict.result import (
    JPEG_MOST_PX,
    encode_jpeg,
    encode_palette,
    encode_png,
    list_suffixes,
)
from segtrain.config.schema import DataConfig
from segtrain.formats import coco
from segtrain.images import rle
from segtrain.inference.task import Task
from segtrain.visualize import colorize, overlay
from tests.commands.predict.predicting import run
from tests.painted import BINARY, COLORS, LAYERS, TASK, paint, painted, random_classes, read

TABLES = {"coco", "coco-rle", "cvat", "labelstudio", "rle"}


def predicted(folder: Path, kinds: list[str], task: Task = TASK) -> Path:
    """The output folder of a prediction of `folder`/in."""
    out = folder / "out"
    assert run(folder / "in", out, painted(task), kinds=kinds).status == 0
    return out


def test_every_kind_is_a_table_or_files_of_each_image():
    assert {kind for kind in KINDS if not list_suffixes([kind], TASK)} == TABLES


PIXELS = np.random.default_rng(0)
ARRAYS = {
    "bytes": PIXELS.integers(0, 256, (7, 5), dtype=np.uint8),
    "words": PIXELS.integers(0, 65536, (7, 5), dtype=np.uint16),
    "colors": PIXELS.integers(0, 256, (7, 5, 3), dtype=np.uint8),
    "one pixel": np.full((1, 1), 3, np.uint8),
    "not contiguous": PIXELS.integers(0, 256, (5, 7), dtype=np.uint8).T,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_png_holds_what_was_put_in(tmp_path, name):
    pixels = ARRAYS[name]
    for smooth in (True, False):
        path = tmp_path / f"{smooth}.png"
        path.write_bytes(encode_png(pixels, smooth=smooth))
        assert np.array_equal(read(path), pixels)
        seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(seen[..., ::-1] if pixels.ndim == 3 else seen, pixels)


@pytest.mark.parametrize("count", [1, 2, 11, 256])
def test_a_palette_gives_every_reader_the_same_colors(tmp_path, count):
    colors = [tuple(color) for color in PIXELS.integers(0, 256, (count, 3)).tolist()]
    indices = PIXELS.integers(0, count, (9, 13), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encode_palette(indices, colors))
    expected = np.array(colors, np.uint8)[indices]
    picture = Image.open(tmp_path / "a.png")
    assert picture.mode == "P" and np.array_equal(np.asarray(picture), indices)
    assert np.array_equal(np.asarray(picture.convert("RGB")), expected)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], expected)


def test_what_is_for_looking_at_is_close_to_what_it_shows():
    rows, columns = np.mgrid[:90, :130]
    smooth = np.dstack([rows * 2, columns * 1.9, 255 - rows - columns]).clip(0, 255).astype(np.uint8)
    smooth[:, 65:] = (200, 0, 40)  # an edge of colors, which JPEG would smear with fewer pixels for color
    picture = Image.open(io.BytesIO(encode_jpeg(smooth)))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (130, 90))
    away = np.abs(np.asarray(picture).astype(int) - smooth)
    assert away.mean() < 1 and away.max() < 16, (away.mean(), away.max())


def test_an_overlay_longer_than_jpeg_allows_is_reduced():
    long = np.zeros((3, JPEG_MOST_PX + 1, 3), np.uint8)
    assert Image.open(io.BytesIO(encode_jpeg(long))).size == (JPEG_MOST_PX // 2 + 1, 2)
    assert Image.open(io.BytesIO(encode_jpeg(long[:, :-1]))).size == (JPEG_MOST_PX, 3)


def test_colors_and_overlay_are_those_of_visualize(tmp_path):
    red = random_classes(0)
    image = paint(
        tmp_path / "in" / "a.png", red, PIXELS.integers(0, 256, red.shape), PIXELS.integers(0, 256, red.shape)
    )
    out = predicted(tmp_path, ["color", "overlay"])
    colors = colorize(red, COLORS)
    assert np.array_equal(np.asarray(Image.open(out / "a_color.png").convert("RGB")), colors)
    assert (out / "a_overlay.jpg").read_bytes() == encode_jpeg(overlay(image, colors))


def test_more_classes_than_a_byte_holds(tmp_path):
    colors = [(index % 256, index // 256, 7) for index in range(300)]
    task = Task(mode="multiclass", names=[f"c{index}" for index in range(300)], colors=colors, channels=1, scale=1000)
    (tmp_path / "in").mkdir()
    values = np.array([[0, 255, 256], [299, 0, 1]])
    np.save(tmp_path / "in" / "a.npy", (values / 255 * 1000).astype(np.float32))  # as the network sees it: values
    out = predicted(tmp_path, ["index", "color"], task)
    index = Image.open(out / "a.png")
    assert index.mode == "I;16" and np.array_equal(np.asarray(index), values)
    assert np.array_equal(read(out / "a_color.png"), np.array(colors, np.uint8)[values])


def test_classes_that_overlap(tmp_path):
    planes = [np.array(plane) * 255 for plane in ([[1, 1, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]])]
    paint(tmp_path / "in" / "a.png", *planes)
    out = predicted(tmp_path, ["index", "color"], LAYERS)
    layers = [read(out / f"a_{name}.png") for name in ("0_wet", "1_road_lane", "2_car")]
    assert np.array_equal(layers, planes)
    assert read(out / "a_color.png").tolist() == [[1, 2, 2, 0]]  # the last class that is there, 0 for none


def test_probabilities(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0, 1, 2]])
    out = predicted(tmp_path, ["npz", "prob8"])
    with np.load(out / "a.npz") as content:
        assert content["names"].tolist() == ["sky", "road", "car"]
        assert content["probabilities"].dtype == np.float16
        expected = [[[0.8, 0.1, 0.1]], [[0.1, 0.8, 0.1]], [[0.1, 0.1, 0.8]]]
        assert np.allclose(content["probabilities"], expected, atol=1e-3)
    assert read(out / "a_prob_1_road.png").tolist() == [[26, 204, 26]]  # 0.1 * 255 is 25.5
    assert read(out / "a_prob_0_sky.png").dtype == np.uint8


def test_probabilities_of_16_bits_and_of_one_class(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0, 51, 255]])
    out = predicted(tmp_path, ["prob16", "npz"], BINARY)
    assert read(out / "a_prob_0_road.png").tolist() == [[0, 13107, 65535]]
    assert np.load(out / "a.npz")["names"].tolist() == ["road"]
    assert sorted(path.name for path in out.iterdir()) == ["a.npz", "a_prob_0_road.png", "manifest.csv"]


def test_outlines_of_each_image(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0, 2]])
    content = json.loads((predicted(tmp_path, ["geojson"]) / "a.geojson").read_text())
    assert [item["properties"] for item in content["features"]] == [
        {"class": "sky", "index": 0, "area_px": 1},
        {"class": "car", "index": 2, "area_px": 1},
    ]
    assert content["features"][1]["geometry"]["coordinates"] == [[[1, 0], [2, 0], [2, 1], [1, 1], [1, 0]]]


def test_a_file_of_coco_that_is_read_by_hand(tmp_path):
    paint(tmp_path / "in" / "sub" / "a.png", [[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    paint(tmp_path / "in" / "b.bmp", [[2, 2]])
    out = predicted(tmp_path, ["coco", "coco-rle"])
    content = json.loads((out / "coco.json").read_text())
    assert content["images"] == [
        {"id": 1, "file_name": "b.bmp", "height": 1, "width": 2},
        {"id": 2, "file_name": "sub/a.png", "height": 3, "width": 3},
    ]
    assert content["categories"] == [{"id": 1, "name": "sky"}, {"id": 2, "name": "road"}, {"id": 3, "name": "car"}]
    car, sky, road = content["annotations"]
    assert car == {
        "id": 1,
        "image_id": 1,
        "category_id": 3,
        "segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]],
        "bbox": [0, 0, 2, 1],
        "area": 2,
        "iscrowd": 0,
    }
    assert (sky["image_id"], sky["category_id"], sky["bbox"]) == (2, 1, [1, 1, 1, 1])
    assert (road["bbox"], road["area"], len(road["segmentation"])) == ([0, 0, 3, 3], 8, 2)  # cut beside the hole
    runs = json.loads((out / "coco_rle.json").read_text())
    assert (runs["images"], runs["categories"]) == (content["images"], content["categories"])
    assert runs["annotations"][2] == {
        "id": 3,
        "image_id": 2,
        "category_id": 2,
        "segmentation": {"size": [3, 3], "counts": "0410"},
        "bbox": [0, 0, 3, 3],
        "area": 8,
        "iscrowd": 0,
    }


@pytest.mark.parametrize("kind", ["coco", "coco-rle"])
def test_the_reference_reader_has_the_masks_again(tmp_path, capsys, kind):
    for place in range(3):
        paint(tmp_path / "in" / f"{place}.png", random_classes(place, 40, 33))
    content = COCO(str(predicted(tmp_path, [kind]) / f"{kind.replace('-', '_')}.json"))
    for image in content.loadImgs(content.getImgIds()):
        drawn = np.full((40, 33), -1)
        for annotation in content.loadAnns(content.getAnnIds(imgIds=image["id"])):
            counts = content.annToRLE(annotation)["counts"]
            pixels = np.zeros(40 * 33, bool)
            rle.fill(pixels, rle.runs_of_counts(counts.decode() if isinstance(counts, bytes) else counts, 40, 33), True)
            mask = pixels.reshape((40, 33), order="F")
            assert mask.sum() == annotation["area"]
            drawn[mask] = annotation["category_id"] - 1
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
                left,
                top,
                left + width,
                top + height,
            )
        assert np.array_equal(drawn, random_classes(int(image["file_name"][0]), 40, 33))


@pytest.mark.parametrize("kind", ["coco", "coco-rle"])
def test_predictions_can_be_trained_on(tmp_path, kind):
    paint(tmp_path / "in" / "a.png", random_classes(0, 40, 33))
    paint(tmp_path / "in" / "b.png", random_classes(1, 40, 33))
    file = predicted(tmp_path, [kind]) / f"{kind.replace('-', '_')}.json"
    settings = {"root": tmp_path, "format": "coco", "classes": ["sky", "road", "car"], "unlabeled": "ignore"}
    data = DataConfig.model_validate({**settings, "annotations": f"out/{file.name}", "images": "in"})
    samples = coco.read(tmp_path, annotations=f"out/{file.name}", images="in", unlabeled="ignore", classes=data.classes)
    for sample in (*samples["train"], *samples["val"]):
        mask = coco.read_mask(sample.mask, as_color=False)
        assert np.array_equal(mask, random_classes("ab".index(sample.name), 40, 33))


def test_the_background_of_one_class_is_in_no_table(tmp_path):
    paint(tmp_path / "in" / "a.png", [[255, 0, 255]])
    out = predicted(tmp_path, ["coco", "coco-rle", "rle"], BINARY)
    for name in ("coco.json", "coco_rle.json"):
        content = json.loads((out / name).read_text())
        assert content["categories"] == [{"id": 1, "name": "road"}]
        assert {annotation["category_id"] for annotation in content["annotations"]} == {1}
    assert (out / "rle.csv").read_text() == "image,class,rle\na.png,road,1 1 3 1\n"


def test_tables_of_classes_that_overlap(tmp_path):
    paint(tmp_path / "in" / "a.png", [[255, 255]], [[0, 255]])
    out = predicted(tmp_path, ["coco", "rle"], LAYERS)
    found = json.loads((out / "coco.json").read_text())["annotations"]
    assert [(item["category_id"], item["bbox"]) for item in found] == [(1, [0, 0, 2, 1]), (2, [1, 0, 1, 1])]
    assert (out / "rle.csv").read_text() == "image,class,rle\na.png,wet,1 2\na.png,road/lane,2 1\na.png,car,\n"
