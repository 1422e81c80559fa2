import json

import pytest
import torch
from torch import Tensor

from segtrain.commands.export.torchscript import export
from segtrain.inference.runtimes.exported import quiet
from tests.commands.export.exporting import assert_equal_networks, loaded, options_of, real_network, tiny_network
from tests.tiny_model import TinyNet


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


def test_what_others_read_in_the_file(tmp_path):
    export(tiny_network(), tmp_path / "model.torchscript", options_of())
    extra = {"names": "", "colors": "", "segtrain": ""}
    with quiet():
        torch.jit.load(tmp_path / "model.torchscript", _extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    assert len(json.loads(extra["colors"])) == 3 and json.loads(extra["segtrain"])["output"] == "probabilities"
