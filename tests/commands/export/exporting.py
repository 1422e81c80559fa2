"""What the tests of exports share: networks to export, and what to ask of their forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segtrain.commands.export.graph import ExportOptions
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError
from segtrain.inference.load import load_network
from segtrain.inference.network import Network, TorchNetwork
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.models.model import SegmentationModel, build_model
from tests.tiny_model import TinyNet

CPU = torch.device("cpu")
UNET = {"name": "Unet", "encoder_name": "tu-resnet10t", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
# Numbers of images and their sizes: multiples of a stride and not, below it, and a single pixel.
SHAPES = [(1, 64, 96), (3, 65, 97), (2, 33, 40), (1, 20, 50), (1, 1, 1)]


def config_of(classes: int = 3, *, model: dict | None = None, **data: object) -> Config:
    """An experiment with classes `class 0`, `class 1`, .."""
    given = {"root": "data", "classes": [f"class {index}" for index in range(classes)], **data}
    settings = {"data": given, "train": {"precision": "fp32"}}
    return Config.model_validate(settings | ({"model": model} if model else {}))


def tiny_network(classes: int = 3, **data: object) -> TorchNetwork:
    """Of a few weights."""
    torch.manual_seed(0)
    model = SegmentationModel(TinyNet(outputs=classes), mean=[0.5] * 3, std=[0.25] * 3)
    return _decided(TorchNetwork(model, config_of(classes, **data), device=CPU, dtype=torch.float32))


def real_network(**model: object) -> TorchNetwork:
    """Of smp, with three classes."""
    torch.manual_seed(0)
    config = config_of(model=model)
    made = build_model(config.model, channels=3, outputs=3)
    return _decided(TorchNetwork(made, config, device=CPU, dtype=torch.float32))


def _decided(network: TorchNetwork) -> TorchNetwork:
    """With a head whose logits differ by 2 or so and prefer no class: those of untrained ones are all alike, and any
    comparison would hold."""
    head = [module for module in network.model.modules() if isinstance(module, nn.Conv2d)][-1]
    logits = network.logits(images_of(2, 64, 96))
    factor = 2 / (logits - logits.mean((0, 2, 3), keepdim=True)).std()
    head.weight.data *= factor
    head.bias.data = (head.bias.data - logits.mean((0, 2, 3))) * factor
    return network


def options_of(**changes: object) -> ExportOptions:
    """Plain options but for these."""
    plain = {"labels": False, "precision": "fp32", "size": None, "calibration": lambda: iter(())}
    return ExportOptions(**plain | changes)


def images_of(number: int, height: int, width: int, *, seed: int = 0) -> torch.Tensor:
    """Noise (N, 3, H, W) uint8, in channels_last memory as images from files are."""
    images = np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def assert_equal_networks(
    exported: Network, network: TorchNetwork, *, shapes: list = SHAPES, atol: float = 3e-5
) -> None:
    """The same probabilities for images of all these shapes, but for the order in which sums are taken."""
    for shape in shapes:
        images = images_of(*shape)
        given, expected = exported.probabilities(images), network.probabilities(images)
        assert given.dtype == torch.float32 and given.device == CPU
        torch.testing.assert_close(given, expected, rtol=0, atol=atol, msg=lambda text, shape=shape: f"{shape}: {text}")
        assert expected.max() - expected.min() > 0.1 or shape == (1, 1, 1)  # else the comparison says nothing


def assert_equal_predictions(exported: Network, network: TorchNetwork) -> None:
    """In tiles, scales and flips, through the Predictor."""
    options = InferOptions(tile_px=32, overlap=0.5, scales=(0.75, 1.0), flip="d4", batch_size=3)
    image = images_of(1, 70, 50)[0].permute(1, 2, 0).numpy()
    mine, theirs = Predictor([network], options), Predictor([exported], options)
    expected = mine.probabilities([image])
    torch.testing.assert_close(theirs.probabilities([image]), expected, rtol=0, atol=1e-5)
    assert np.array_equal(theirs.predict(image), mine.predict(image))
    assert (expected.amax((2, 3)) - expected.amin((2, 3))).max() > 0.02  # else the comparison says nothing


def assert_labels_predict(exported: Network, network: TorchNetwork) -> None:
    """A form with labels predicts them through the Predictor."""
    image = images_of(1, 45, 70)[0].permute(1, 2, 0).numpy()
    prediction = Predictor([network]).predict(image)
    assert len(np.unique(prediction)) > 1
    assert np.array_equal(Predictor([exported]).predict(image), prediction)
    probabilities = exported.probabilities(images_of(2, 45, 70))
    assert probabilities.shape == (2, network.task.outputs, 45, 70) and set(probabilities.unique().tolist()) == {0, 1}
    assert exported.task.thresholds == [0.5] * len(network.task.thresholds)


def loaded(path: Path, *, precision: str | None = None) -> Network:
    """The network in a file or folder that is trusted."""
    return load_network(path, device="cpu", precision=precision, trust=True)


def refused(path: Path) -> str:
    """Why a file or folder is not loaded though it is trusted, in one line."""
    with pytest.raises(CheckpointError) as error:
        loaded(path)
    assert "\n" not in str(error.value)
    return str(error.value)
