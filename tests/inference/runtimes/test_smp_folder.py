"""Folders that smp's save_pretrained wrote, and segtrain did not."""

import json

import albumentations
import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from segtrain.errors import CheckpointError
from segtrain.inference.load import load_network
from segtrain.inference.predictor import Predictor

SETTINGS = {"encoder_name": "mobilenet_v2", "encoder_weights": None, "decoder_pyramid_channels": 32}
IMAGE = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return smp.FPN(**SETTINGS, decoder_segmentation_channels=32, classes=3).eval()


@pytest.fixture
def folder(network, tmp_path):
    network.save_pretrained(tmp_path)
    return tmp_path


def probabilities(network, *, mean, std) -> torch.Tensor:
    pixels = (IMAGE / 255 - np.array(mean)) / np.array(std)
    images = torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]
    images = torch.nn.functional.pad(images, (0, 96 - 70, 0, 64 - 45), mode="replicate")
    with torch.inference_mode():
        return network(images)[..., :45, :70].softmax(1)


def test_its_probabilities_are_those_of_smp(network, folder):
    predictor = Predictor.load(folder, device="cpu", precision="fp32")
    assert predictor.task.names == ["class_0", "class_1", "class_2"] and predictor.task.mode == "multiclass"
    expected = probabilities(network, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    torch.testing.assert_close(predictor.probabilities([IMAGE]), expected)


def test_it_normalizes_as_its_preprocessing_says(network, folder):
    normalize = albumentations.Normalize(mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1))
    albumentations.Compose([albumentations.Resize(32, 32), normalize]).save_pretrained(folder)
    expected = probabilities(network, mean=[0.5, 0.4, 0.3], std=[0.3, 0.2, 0.1])
    torch.testing.assert_close(Predictor.load(folder, device="cpu", precision="fp32").probabilities([IMAGE]), expected)


def test_one_class_is_binary_and_a_classification_head_is_left_out(tmp_path):
    smp.FPN(**SETTINGS, classes=1, in_channels=4, activation="sigmoid", aux_params={"classes": 2}).save_pretrained(
        tmp_path
    )
    task = load_network(tmp_path, device="cpu").task
    assert (task.mode, task.names, task.thresholds, task.channels) == ("binary", ["background", "class_1"], [0.5], 4)


def test_classes_without_a_name_agree_with_any_of_their_number(folder):
    task = load_network(folder, device="cpu").task
    named = task.model_copy(update={"names": ["sky", "road", "car"]})
    assert named.difference(task) is None and task.difference(named) is None
    fewer = task.model_copy(update={"names": ["sky", "road"]})
    assert task.difference(fewer) == ("classes sky, road", "classes class_0, class_1, class_2")


WRONG = {
    "no classes": ({"classes": None}, "the number of classes is None"),
    "too many classes": ({"classes": 10**12}, "the number of classes is 1000000000000"),
    "no number": ({"classes": "3"}, "the number of classes is '3'"),
    "too many channels": ({"in_channels": 10**9}, "channels: Input should be less than or equal to 4096"),
    "a network of another library": (
        {"_model_class": "os.system"},
        "uses the model 'os.system', which neither segtrain nor smp has",
    ),
    "an encoder of a hub": ({"encoder_name": "tu-hf-hub:me/code"}, "model.encoder_name: timm has no model"),
    "a file to open": (
        {"checkpoint_path": "/etc/passwd"},
        "model.checkpoint_path: FPN has no argument 'checkpoint_path'",
    ),
    "a number beyond all bounds": (
        {"decoder_pyramid_channels": 10**9},
        "model.decoder_pyramid_channels: 1000000000 is not",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_descriptions_that_are_refused(folder, case):
    changes, text = WRONG[case]
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError) as error:
        load_network(folder, device="cpu")
    assert text in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"_model_class": 1, "classes": 2}', "[" * 100_000])
def test_descriptions_that_are_none(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json: (is not|does not describe a network of smp: )"):
        load_network(folder, device="cpu")
