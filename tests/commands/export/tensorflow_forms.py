"""Exports to TFLite and SavedModel, where ".[tflite-export,savedmodel-export]" is installed:
`python -m pytest -W ignore tests/commands/export/tensorflow_forms.py`. Not among the tests that need nothing but
requirements-dev.txt.

`python -m tests.commands.export.tensorflow_forms` writes anew the colors.tflite that
tests/inference/runtimes/test_tflite.py reads.
"""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segtrain.command import run_command
from segtrain.commands.export import command, savedmodel, tflite
from segtrain.commands.export.graph import ExportError
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError, DataError
from segtrain.inference.network import TorchNetwork
from segtrain.inference.predictor import Predictor
from segtrain.models.model import SegmentationModel
from tests.commands.export.exporting import (
    CPU,
    assert_equal_networks,
    images_of,
    loaded,
    options_of,
    real_network,
    refused,
    tiny_network,
)
from tests.conftest import PROJECT

SIZE = (40, 56)
SHAPES = [(1, *SIZE), (1, *SIZE)]
FORMS = [(tflite, "model.tflite"), (savedmodel, "savedmodel")]
KINDS = {
    "multiclass": {"classes": 3},
    "binary": {"classes": 1},
    "multilabel": {"classes": 2, "multilabel": True},
}


class Colors(nn.Module):
    """Logits are the normalized channels: a pixel is of the class of its strongest color."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.encoder.output_stride = 1

    def forward(self, images: Tensor) -> Tensor:
        return images


def colors() -> TorchNetwork:
    """The classes red, green and blue."""
    model = SegmentationModel(Colors(), mean=[0.5] * 3, std=[0.25] * 3)
    config = Config.model_validate({"data": {"root": "data", "classes": ["red", "green", "blue"]}})
    return TorchNetwork(model, config, device=CPU, dtype=torch.float32)


def written(form, network: TorchNetwork, path: Path, **options):
    """Export, and load what was written."""
    form.export(network, path, options_of(size=SIZE, **options))
    return loaded(path)


@pytest.mark.parametrize(("form", "name"), FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities(tmp_path, form, name, kind):
    network = tiny_network(**KINDS[kind])
    exported = written(form, network, tmp_path / name)
    assert exported.input_size == SIZE and exported.batch_size == 1 and exported.task == network.task
    assert_equal_networks(exported, network, shapes=SHAPES)


@pytest.mark.parametrize(("form", "name"), FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_labels(tmp_path, form, name, kind):
    network = tiny_network(**KINDS[kind])
    image = images_of(1, *SIZE)[0].permute(1, 2, 0).numpy()
    expected = Predictor([network]).predict(image)
    exported = written(form, network, tmp_path / name, labels=True)
    assert np.array_equal(Predictor([exported]).predict(image), expected) and len(np.unique(expected)) > 1


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_a_network_of_smp(tmp_path, form, name):
    network = real_network(name="Unet", encoder_name="tu-resnet10t", encoder_depth=3, decoder_channels=[16, 8, 8])
    assert_equal_networks(written(form, network, tmp_path / name), network, shapes=SHAPES)


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_images_of_16_bits(tmp_path, form, name):
    network = tiny_network(3, scale=4095)
    exported = written(form, network, tmp_path / name)
    images = images_of(1, *SIZE).float() + 0.25
    torch.testing.assert_close(exported.probabilities(images), network.probabilities(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_halves(tmp_path, form, name):
    network = real_network(name="Unet", encoder_name="tu-resnet10t", encoder_depth=3, decoder_channels=[16, 8, 8])
    half, whole = tmp_path / "half" / name, tmp_path / "whole" / name
    half.parent.mkdir()
    whole.parent.mkdir()
    assert_equal_networks(written(form, network, half, precision="fp16"), network, shapes=SHAPES, atol=0.05)
    written(form, network, whole)
    assert size_of(half) < 0.65 * size_of(whole)


def size_of(path: Path) -> int:
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(file.stat().st_size for file in files)


def test_bytes(tmp_path):
    network = real_network(name="Unet", encoder_name="tu-resnet10t", encoder_depth=3, decoder_channels=[16, 8, 8])

    def calibration():
        return (images_of(1, *SIZE, seed=seed) for seed in range(8))

    exported = written(tflite, network, tmp_path / "model.tflite", precision="int8", calibration=calibration)
    image = images_of(1, *SIZE, seed=99)
    given, expected = exported.probabilities(image), network.probabilities(image)
    assert given.dtype == torch.float32 and (given - expected).abs().mean() < 0.05
    assert (given.argmax(1) != expected.argmax(1)).float().mean() < 0.1


def test_what_calibration_raises_goes_through(tmp_path):
    def calibration():
        raise DataError("000.png: is no image")

    with pytest.raises(DataError, match=r"^000\.png: is no image$"):
        written(tflite, tiny_network(), tmp_path / "model.tflite", precision="int8", calibration=calibration)


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_what_has_no_translation(tmp_path, form, name):
    network = colors()
    network.model.net.forward = lambda images: torch.fft.fft(images).abs().cummax(-1).values
    with pytest.raises(
        ExportError, match=r"cannot be exported for images of one size: .*; write another --to"
    ) as error:
        written(form, network, tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", ["tflite", "savedmodel"])
def test_the_command(trained, target, capfd):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert run_command(command.main, parser.parse_args([str(trained), "--to", target])) == 0
    out, err = capfd.readouterr()
    path = trained / {"tflite": "model.tflite", "savedmodel": "savedmodel"}[target]
    assert len(out.splitlines()) == 2 and f"{path}: largest difference in probability" in out and err == ""
    exported = loaded(path)
    assert exported.input_size == (64, 80)
    assert Predictor([exported]).predict(np.zeros((100, 90, 3), np.uint8)).shape == (100, 90)


@pytest.fixture
def saved(tmp_path) -> Path:
    """A SavedModel of ours, to be changed."""
    savedmodel.export(tiny_network(), tmp_path / "savedmodel", options_of(size=SIZE))
    return tmp_path / "savedmodel"


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_damaged_saved_model(saved, file):
    content = (saved / file).read_bytes()
    (saved / file).write_bytes(content[: len(content) // 2])
    assert refused(saved).startswith(f"{saved}: is not a SavedModel or is damaged: ")


def test_a_note_of_another_saved_model(saved):
    note = saved / "assets.extra" / "segtrain.json"
    note.write_text(note.read_text().replace("[40,56]", "[32,32]"))
    with pytest.raises(CheckpointError) as error:
        loaded(saved).probabilities(images_of(1, 32, 32))
    assert str(error.value).startswith(f"{saved}: fails on images 1 x 3 x 32 x 32 uint8: ")


if __name__ == "__main__":
    tflite.export(colors(), PROJECT / "tests/inference/runtimes/colors.tflite", options_of(size=(20, 48)))
