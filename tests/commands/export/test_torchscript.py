import json

import pytest
import torch
from torch import Tensor, nn

from segtrain.commands.export.torchscript import export
from segtrain.inference.runtimes.exported import quiet
from tests.commands.export.exporting import (
    UNET,
    assert_equal_networks,
    assert_equal_predictions,
    assert_labels_predict,
    images_of,
    loaded,
    options_of,
    real_network,
    refused,
    tiny_network,
)
from tests.tiny_model import TinyNet


def test_any_number_of_images_of_any_size(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.torchscript", options_of())
    exported = loaded(tmp_path / "model.torchscript")
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


@pytest.mark.parametrize("name", ["DeepLabV3Plus", "PAN", "UPerNet"])
def test_other_architectures(tmp_path, name):
    network = real_network(name=name, encoder_name="tu-resnet10t")
    export(network, tmp_path / "model.torchscript", options_of())
    assert_equal_networks(loaded(tmp_path / "model.torchscript"), network)


class OfOneWidth(TinyNet):
    """What it computes depends on the width that it was traced with."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.linspace(0, 4, int(images.shape[-1]))


@pytest.mark.parametrize("size", [(32, 64), (41, 70), (20, 20)])  # of multiples of the stride, others, and small ones
def test_it_is_traced_with_the_size_that_was_asked_for(tmp_path, size):
    network = tiny_network()
    network.model.net.__class__ = OfOneWidth
    export(network, tmp_path / "model.torchscript", options_of(size=size))
    assert_equal_networks(loaded(tmp_path / "model.torchscript"), network, shapes=[(2, *size)])


@pytest.mark.parametrize(
    "network",
    [tiny_network(), tiny_network(1), tiny_network(2, multilabel=True)],
    ids=lambda network: network.task.mode,
)
def test_labels(tmp_path, network):
    network.task = network.task.with_thresholds([0.3, 0.6][: len(network.task.thresholds)])
    export(network, tmp_path / "labels.torchscript", options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / "labels.torchscript"), network)


def test_halves(tmp_path):
    network = tiny_network()
    for precision in ("fp32", "fp16"):
        export(network, tmp_path / f"{precision}.torchscript", options_of(precision=precision))
    assert_equal_networks(loaded(tmp_path / "fp16.torchscript"), network, shapes=[(1, 33, 40)], atol=0.02)
    images = images_of(1, 33, 40)
    halves, whole = (loaded(tmp_path / f"{precision}.torchscript") for precision in ("fp16", "fp32"))
    assert not torch.equal(halves.probabilities(images), whole.probabilities(images))


def test_what_others_read_in_the_file(tmp_path):
    export(tiny_network(), tmp_path / "model.torchscript", options_of())
    extra = {"names": "", "colors": "", "segtrain": ""}
    with quiet():
        torch.jit.load(tmp_path / "model.torchscript", _extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    assert len(json.loads(extra["colors"])) == 3 and json.loads(extra["segtrain"])["output"] == "probabilities"


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "theirs.torchscript"
    with quiet():
        torch.jit.save(torch.jit.script(nn.ReLU()), path)
    assert refused(path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; export one with python -m segtrain "
        f"export RUN"
    )


def test_damaged_files(tmp_path):
    path = tmp_path / "model.torchscript"
    assert refused(path) == f"{path}: does not exist"
    export(tiny_network(), path, options_of())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        path.write_bytes(content)
        assert refused(path).startswith(f"{path}: is not a TorchScript file or is damaged: ")
