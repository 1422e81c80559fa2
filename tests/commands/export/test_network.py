import json
from pathlib import Path

import pytest
import torch

from segtrain.commands.export.network import ExportedNetwork, Note
from segtrain.errors import ConfigError, first_fault, reason_of
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import BACKGROUND_COLOR, Task
from tests.commands.export.exporting import CPU, images_of, options_of, tiny_network

KINDS = {
    "multiclass": (tiny_network(3).task, ["class 0", "class 1", "class 2"]),
    "binary": (tiny_network(1).task, ["class 0"]),
    "multilabel": (tiny_network(2, multilabel=True).task, ["class 0", "class 1"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_colours_are_those_of_the_channels(kind):
    task, names = KINDS[kind]
    metadata = Note.of(task, options_of()).metadata()
    assert json.loads(metadata["names"]) == names
    assert json.loads(metadata["colors"]) == [list(color) for color in task.colors[-len(names) :]]


def test_names_and_colours_are_those_of_the_indices():
    binary, layers = (Note.of(KINDS[kind][0], options_of(labels=True)).metadata() for kind in ("binary", "multilabel"))
    assert json.loads(binary["names"]) == ["background", "class 0"]
    assert json.loads(binary["colors"])[0] == list(BACKGROUND_COLOR)
    assert json.loads(layers["names"]) == ["class 0", "class 1"] and len(json.loads(layers["colors"])) == 2


def labels() -> ExportedNetwork:
    """Binary: red pixels are of the class."""
    note = Note.of(KINDS["binary"][0], options_of(labels=True))
    return ExportedNetwork(note, CPU, lambda images: (images[:, 0] >= 128).to(torch.uint8), Path("model.onnx"))


def test_labels_have_no_threshold():
    with pytest.raises(ConfigError) as error:
        Predictor([labels()], InferOptions(thresholds=(0.3,)))
    assert str(error.value) == "--threshold: a model gives labels, not probabilities; export it without --labels"


def test_labels_in_views_are_votes():
    image = images_of(1, 20, 24)[0].permute(1, 2, 0).numpy()
    predictor = Predictor([labels()], InferOptions(flip="d4"))
    shares = predictor.probabilities([image])
    assert set(shares.unique().tolist()) == {0.0, 1.0}  # each view says the same of a pixel
    assert (predictor.predict(image) == (image[..., 0] >= 128)).all()


def test_labels_have_no_calibration_error():
    image = images_of(1, 20, 24)[0].permute(1, 2, 0).numpy()
    prediction, confidence = Predictor([labels()]).predict_group({"image": torch.from_numpy(image)[None]})
    assert prediction.shape == (1, 20, 24) and confidence is None


def test_what_an_error_says():
    assert reason_of(RuntimeError("\n  first \n second\n")) == "first"
    assert reason_of(RuntimeError("first\nsecond\n"), line=-1) == "second"
    assert reason_of(RuntimeError()) == "RuntimeError" and len(reason_of(ValueError("x" * 300))) == 200
    with pytest.raises(ValueError) as error:
        Task.model_validate({"mode": "binary", "names": ["a", "b"], "colors": [[0, 0, 300], [0, 0, 0]]})
    assert first_fault(error.value) == "colors.0.2: Input should be less than or equal to 255"
