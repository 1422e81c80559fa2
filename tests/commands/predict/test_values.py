"""`--save values`: predictions like the masks of the dataset, which its decoder reads again."""

from pathlib import Path

import numpy as np
import pytest

from segtrain.config.schema import Config, DataConfig
from segtrain.data.labels import build_decoder
from segtrain.errors import ConfigError
from segtrain.formats import folders
from segtrain.inference.task import Task
from tests.commands.predict.predicting import names_in, run
from tests.painted import TASK, paint, painted, random_classes, read

CLASSES = {
    "gray": [{"name": "sky", "value": 7}, {"name": "road", "values": [9, 3]}, {"name": "car", "value": 255}],
    "16 bits": [{"name": "sky", "value": 0}, {"name": "road", "value": 26_001}, {"name": "car", "value": 65_534}],
    "indices": ["sky", "road", "car"],
    "colors": [
        {"name": "sky", "color": [0, 0, 0]},
        {"name": "road", "colors": [[255, 0, 1], [9, 9, 9]]},
        {"name": "car", "color": [1, 0, 255]},
    ],
    "colors for pictures": [
        {"name": name, "value": 9 - index, "color": [index] * 3} for index, name in enumerate("abc")
    ],
}


def config_of(classes: list, **data) -> Config:
    settings = {"root": ".", "classes": classes, "ignore_index": 254, **data}
    return Config.model_validate({"data": settings, "model": {"name": "Unet", "encoder_name": "resnet18"}})


def decoded(config: DataConfig, file: Path) -> np.ndarray:
    decoder = build_decoder(config)
    return decoder.decode(decoder.read_raw(str(file), as_color=decoder.as_color), str(file))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_decoder_of_the_data_set_has_the_classes_again(tmp_path, kind):
    config, labels = config_of(CLASSES[kind]), random_classes(0)
    paint(tmp_path / "in" / "a.png", labels)
    task = Task.model_validate_json(Task.of(config).model_dump_json())  # as an export carries it
    run(tmp_path / "in", tmp_path / "out", painted(task), kinds=["values"])
    assert np.array_equal(decoded(config.data, tmp_path / "out" / "a.png"), labels)


def test_values_that_are_read_by_hand(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0, 1, 2]])
    found = {}
    for kind, classes in CLASSES.items():
        run(tmp_path / "in", tmp_path / "out", painted(Task.of(config_of(classes))), kinds=["values"])
        found[kind] = read(tmp_path / "out" / "a.png")
    assert found["gray"].tolist() == [[7, 9, 255]] and found["gray"].dtype == np.uint8
    assert found["16 bits"].tolist() == [[0, 26_001, 65_534]]
    assert found["colors"].tolist() == [[[0, 0, 0], [255, 0, 1], [1, 0, 255]]]
    assert found["colors for pictures"].tolist() == [[9, 8, 7]]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("road", [[0, 1]]),
        ({"name": "road", "value": 200}, [[0, 200]]),
        ({"name": "road", "color": [1, 2, 3]}, [[[0, 0, 0], [1, 2, 3]]]),
    ],
)
def test_one_class_and_its_background(tmp_path, item, expected):
    config = config_of([item])
    paint(tmp_path / "in" / "a.png", [[0, 255]])
    run(tmp_path / "in", tmp_path / "out", painted(Task.of(config)), kinds=["values"])
    assert read(tmp_path / "out" / "a.png").tolist() == expected
    assert decoded(config.data, tmp_path / "out" / "a.png").tolist() == [[0, 1]]


def test_classes_that_overlap_have_masks_of_their_own(tmp_path):
    """Files that `{class}` in data.masks finds."""
    classes = ["wet", {"name": "road lane", "value": 200, "color": [9, 9, 9]}]
    config = config_of(classes, multilabel=True)
    layers = [[[0, 1, 1]], [[1, 1, 0]]]
    for name in "ab":
        paint(tmp_path / "images" / f"{name}.png", *(np.array(layer) * 255 for layer in layers))
    run(tmp_path / "images", tmp_path / "out", painted(Task.of(config)), kinds=["values"])
    assert names_in(tmp_path / "out")[:3] == ["a_road lane.png", "a_wet.png", "b_road lane.png"]
    assert read(tmp_path / "out" / "a_road lane.png").tolist() == [[200, 200, 0]]
    splits = folders.read(tmp_path, images="images", masks="out", mask_suffix="_{class}", classes=config.data.classes)
    for sample in (*splits["train"], *splits["val"]):
        assert build_decoder(config.data).read(sample).tolist() == layers


def test_names_of_layers_that_files_cannot_tell_apart_are_numbered(tmp_path):
    task = Task.of(config_of(["a/b", "A:b"], multilabel=True))
    paint(tmp_path / "in" / "a.png", [[0]])
    run(tmp_path / "in", tmp_path / "out", painted(task), kinds=["values"])
    assert names_in(tmp_path / "out") == ["a_0_a_b.png", "a_1_A_b.png", "manifest.csv"]


def test_a_model_that_does_not_know_them(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0]])
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "in", tmp_path / "out", painted(TASK), kinds=["values"])
    assert str(error.value) == (
        "--save values: the model does not know the values of its masks, because it is an older export or not from "
        "segtrain; export it again, or write --save index for class indices"
    )
