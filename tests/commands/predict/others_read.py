"""Predictions for labeling tools, read by the tools' own code: `make others`. These tests need more than
requirements-dev.txt."""

import json
import shutil
import sys
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from segtrain.commands.predict.cvat import count_runs
from segtrain.commands.predict.labelstudio import encode_brush
from segtrain.inference.task import Task
from tests.commands.predict.predicting import run
from tests.painted import COLORS, paint, painted, random_classes, read

for _name in ("PyQt5", "PyQt5.QtCore", "PyQt5.QtGui", "PyQt5.QtWidgets"):
    sys.modules[_name] = MagicMock()  # labelme imports its windows with its files
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cvat_sdk.masks import decode_mask, encode_mask
    from datumaro.components.annotation import AnnotationType
    from datumaro.plugins.data_formats.coco.base import CocoInstancesBase
    from datumaro.plugins.data_formats.cvat.base import CvatBase
    from label_studio_sdk.converter import brush
    from label_studio_sdk.label_interface import LabelInterface
    from labelme._label_file import LabelFile
    from labelme.utils.shape import shapes_to_label

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries that are not ours

NAMES = ["Säule & <Mast>", 'the "road"', "car's door"]
SHAPES = {
    "one pixel": np.array([[1]]),
    "one class": np.full((7, 5), 2),
    "a hole and an island in it": np.pad(np.pad(np.pad([[2]], 1, constant_values=0), 1, constant_values=1), 1),
    "touching at corners": np.kron([[0, 1, 0, 1], [1, 0, 1, 0]], np.ones((2, 3))),
    "single pixels": np.indices((9, 12)).sum(0) % 3,
    "a row": np.array([[0, 1, 1, 2, 0, 0]]),
    "a column": np.array([[0], [1], [1], [2]]),
    "blocks": random_classes(1, 43, 61),
    "noise": np.random.default_rng(2).integers(0, 3, (40, 50)),
}
IMAGES = {f"street #{index}/{name} ä&ü%.png": labels for index, (name, labels) in enumerate(SHAPES.items())}
TASKS = {
    "multiclass": Task(mode="multiclass", names=NAMES, colors=COLORS[:3]),
    "binary": Task(mode="binary", names=["background", NAMES[1]], colors=COLORS[:2], thresholds=[0.5]),
    "multilabel": Task(mode="multilabel", names=NAMES, colors=COLORS, thresholds=[0.5] * 3),
}


@pytest.fixture(scope="module", params=TASKS)
def predicted(request, tmp_path_factory) -> tuple[Path, Task]:
    """The folder in which `in` was predicted to `out`, and the task."""
    folder, task = tmp_path_factory.mktemp(request.param), TASKS[request.param]
    for name, labels in IMAGES.items():
        planes = {
            "multiclass": [labels],
            "binary": [(labels == 1) * 255],
            "multilabel": [(labels >= least) * 255 for least in range(3)],  # each lies over the one before
        }[task.mode]
        paint(folder / "in" / name, *planes)
    kinds = ["index", "cvat", "labelstudio", "labelme", "coco", "coco-rle"]
    report = run(folder / "in", folder / "out", painted(task), kinds=kinds, model="street-1")
    assert (report.images, report.failures) == (len(IMAGES), [])
    return folder, task


def layers_of(folder: Path, name: str, task: Task) -> dict[str, np.ndarray]:
    """The mask of each class that is drawn, bool HW, from the index PNGs."""
    stem = folder / "out" / Path(name).with_suffix("")
    if task.mode == "multilabel":
        (files,) = [sorted(stem.parent.glob(f"{stem.name}_*.png"))]
        return {class_name: read(file) == 255 for class_name, file in zip(task.names, files, strict=True)}
    index = read(stem.with_suffix(".png"))
    return {name: index == number for number, name in enumerate(task.names) if number or task.mode != "binary"}


def united(masks: Iterator[tuple[str, np.ndarray]], names: list[str], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The union of all masks of each class; masks of the same class must not overlap."""
    found = {name: np.zeros(shape, int) for name in names}
    for name, mask in masks:
        found[name] += mask
    assert all(layer.max(initial=0) <= 1 for layer in found.values())
    return {name: layer == 1 for name, layer in found.items()}


def require_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], image: str) -> None:
    assert list(found) == list(expected)
    for name, mask in expected.items():
        assert np.array_equal(found[name], mask), (image, name)


def test_datumaro_reads_what_cvat_imports(predicted, monkeypatch):
    folder, task = predicted
    monkeypatch.chdir(folder / "in")
    source = CvatBase(str(folder / "out" / "annotations.xml"))
    names = [label.name for label in source.categories()[AnnotationType.label].items]
    items = {item.media.path: item for item in source}
    assert items.keys() == IMAGES.keys()
    for image in IMAGES:
        expected = layers_of(folder, image, task)
        masks = ((names[mask.label], mask.image) for mask in items[image].annotations)
        require_same(united(masks, names, next(iter(expected.values())).shape), expected, image)


@pytest.mark.parametrize("file", ["coco.json", "coco_rle.json"])
def test_datumaro_reads_coco(predicted, tmp_path, file):
    folder, task = predicted
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").symlink_to(folder / "in")
    shutil.copy(folder / "out" / file, tmp_path / "annotations")
    source = CocoInstancesBase(str(tmp_path / "annotations" / file))
    names = [label.name for label in source.categories()[AnnotationType.label].items]
    items = {f"{item.id}.png": item for item in source}
    assert items.keys() == IMAGES.keys()
    for image in IMAGES:
        expected = layers_of(folder, image, task)
        shape = next(iter(expected.values())).shape
        masks = []
        for part in items[image].annotations:
            if part.type == AnnotationType.mask:
                masks.append((names[part.label], part.image))
            elif part.type == AnnotationType.polygon:
                masks.append(
                    (names[part.label], coco_mask.decode(coco_mask.frPyObjects([part.points], *shape))[..., 0])
                )
        require_same(united(masks, names, shape), expected, image)


def test_cvat_decodes_each_mask(predicted):
    """As CVAT's server has it: the run lengths, then the box with its last column and row."""
    folder, task = predicted
    for image in ElementTree.parse(folder / "out" / "annotations.xml").iter("image"):
        size = {f"image_{side}": int(image.get(side)) for side in ("width", "height")}
        masks = []
        for mask in image.iter("mask"):
            left, top, width, height = (int(mask.get(side)) for side in ("left", "top", "width", "height"))
            points = [*map(int, mask.get("rle").split(",")), left, top, left + width - 1, top + height - 1]
            masks.append((mask.get("label"), decode_mask(points, **size)))
        expected = layers_of(folder, image.get("name"), task)
        found = united(masks, list(expected), (size["image_height"], size["image_width"]))
        require_same(found, expected, image.get("name"))


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_those_of_cvat_and_label_studio(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 30), rng.integers(1, 30))) < rng.choice([0.02, 0.5, 0.98])
    mask[0, 0] |= not mask.any()
    whole = [0, 0, mask.shape[1], mask.shape[0]]
    assert [*count_runs(mask), 0, 0, mask.shape[1] - 1, mask.shape[0] - 1] == encode_mask(mask, whole)
    assert np.array_equal(brush.decode_rle(encode_brush(mask)), np.repeat(mask.ravel() * 255, 4))


def test_runs_that_are_longer_than_label_studio_counts():
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    assert np.array_equal(brush.decode_rle(encode_brush(mask)).reshape(300, 400, 4)[..., 3] > 0, mask)


def test_label_studio_takes_the_predictions(predicted):
    folder, task = predicted
    interface = LabelInterface((folder / "out" / "labelstudio.xml").read_text(encoding="utf-8"))
    tasks = json.loads((folder / "out" / "labelstudio.json").read_text(encoding="utf-8"))
    addresses = [urllib.parse.unquote(item["data"]["image"]) for item in tasks]
    assert addresses == [f"/data/local-files/?d=in/{image}" for image in IMAGES]
    for item, image in zip(tasks, IMAGES, strict=True):
        (prediction,) = item["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        assert interface.validate_task({"data": item["data"]}) and prediction["model_version"] == "street-1"
        expected = layers_of(folder, image, task)
        shape = next(iter(expected.values())).shape
        masks = []
        for region in prediction["result"]:
            assert (region["original_height"], region["original_width"]) == shape
            pixels = brush.decode_rle(region["value"]["rle"]).reshape(*shape, 4)
            masks.append((*region["value"]["brushlabels"], pixels[..., 3] == 255))
        require_same(united(masks, list(expected), shape), expected, image)


def test_labelme_opens_its_files(predicted):
    folder, task = predicted
    for image, labels in IMAGES.items():
        file = (folder / "out" / image).with_suffix(".json")
        opened = LabelFile(str(file))  # with the image, whose size it compares
        assert Image.open(file.parent / opened.image_path).size == labels.shape[::-1]
        expected = layers_of(folder, image, task)
        numbers = {name: number for number, name in enumerate(task.names, start=1)}
        if task.mode == "multiclass":  # as labelme exports it: later shapes over earlier ones
            classes, _ = shapes_to_label(labels.shape, opened.shapes, numbers)
            found = {name: classes == number for name, number in numbers.items()}
        else:
            found = {}
            for name in expected:
                shapes = [shape for shape in opened.shapes if shape["label"] == name]
                found[name] = shapes_to_label(labels.shape, shapes, numbers)[0] > 0
        require_same(found, expected, image)
