import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from segtrain.errors import CheckpointError, ConfigError, first_fault, reason_of
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.runtimes.exported import ExportedNetwork, read_note
from segtrain.inference.task import BACKGROUND_COLOR, Task
from tests.commands.export.exporting import CPU, images_of, options_of, tiny_network

KINDS = {
    "multiclass": (tiny_network(3).task, ["class 0", "class 1", "class 2"]),
    "binary": (tiny_network(1).task, ["class 0"]),
    "multilabel": (tiny_network(2, multilabel=True).task, ["class 0", "class 1"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_colors_are_those_of_the_channels(kind):
    task, names = KINDS[kind]
    metadata = options_of().note(task).metadata()
    assert json.loads(metadata["names"]) == names
    assert json.loads(metadata["colors"]) == [list(color) for color in task.colors[-len(names) :]]


def test_names_and_colors_are_those_of_the_indices():
    binary, layers = (options_of(labels=True).note(KINDS[kind][0]).metadata() for kind in ("binary", "multilabel"))
    assert json.loads(binary["names"]) == ["background", "class 0"]
    assert json.loads(binary["colors"])[0] == list(BACKGROUND_COLOR)
    assert json.loads(layers["names"]) == ["class 0", "class 1"] and len(json.loads(layers["colors"])) == 2


PATH = Path("model.onnx")


def test_a_note_is_read_as_it_was_written():
    note = options_of(size=(32, 48), precision="fp16").note(KINDS["binary"][0], batch_size=1)
    assert read_note(note.metadata()["segtrain"], PATH, None) == read_note(note.model_dump_json(), PATH, "fp16") == note
    with pytest.raises(ConfigError) as error:
        read_note(note.model_dump_json(), PATH, "bf16")
    assert str(error.value) == "--precision bf16: model.onnx was exported in fp16; remove --precision"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "was not exported by segtrain: its metadata has no 'segtrain'; export one with "),
        (b"{}", "its metadata 'segtrain' is damaged: task: Field required"),
        (b"[", "its metadata 'segtrain' is damaged: the content: Invalid JSON: "),
    ],
)
def test_a_note_that_is_damaged_or_not_ours(text, reason):
    with pytest.raises(CheckpointError) as error:
        read_note(text, PATH, None)
    assert str(error.value).startswith(f"model.onnx: {reason}")


def test_a_note_cannot_name_foreign_code(tmp_path):
    note = json.loads(options_of().note(KINDS["binary"][0]).model_dump_json())
    note["task"]["transforms"] = [{"os.mkdir": {"path": str(tmp_path / "made")}}]
    with pytest.raises(CheckpointError) as error:
        read_note(json.dumps(note), PATH, None)
    assert str(error.value) == "model.onnx: transforms.val contains os.mkdir, which albumentations does not have"


@pytest.mark.parametrize(
    ("task", "changes", "says"),
    [("multiclass", {"labels": True}, "2 x 45 x 70 uint8"), ("binary", {}, "2 x 1 x 45 x 70 float32")],
)
def test_a_note_that_does_not_fit(task, changes, says):
    network = ExportedNetwork(options_of(**changes).note(KINDS[task][0]), CPU, Tensor.float, PATH)
    with pytest.raises(CheckpointError) as error:
        network.probabilities(images_of(2, 45, 70))
    gives = "returns 2 x 3 x 45 x 70 float32 for images 2 x 3 x 45 x 70 uint8"
    assert str(error.value) == f"model.onnx: {gives}, but its metadata 'segtrain' says {says}"


def labels() -> ExportedNetwork:
    """Binary: red pixels are of the class."""
    note = options_of(labels=True).note(KINDS["binary"][0])
    return ExportedNetwork(note, CPU, lambda images: (images[:, 0] >= 128).to(torch.uint8), PATH)


def test_labels_have_no_threshold():
    with pytest.raises(ConfigError) as error:
        Predictor([labels()], InferOptions(thresholds=(0.3,)))
    assert str(error.value) == "--threshold: a model returns labels, not probabilities; export it without --labels"


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
