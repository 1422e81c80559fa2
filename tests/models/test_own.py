import re

import pytest
import torch
from torch import nn

from segtrain.config.schema import Config
from segtrain.errors import ConfigError
from segtrain.training.build import place_model


class Pixels(nn.Module):
    stride = 1

    def __init__(self, in_channels: int, classes: int, width: int = 1):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(in_channels), nn.Dropout(0.5)
        self.classify = nn.Conv2d(in_channels, classes, width)

    def forward(self, images):
        return self.classify(self.dropout(self.norm(images)))


class NoStride(nn.Conv1d):
    def __init__(self, in_channels: int, classes: int):
        super().__init__(in_channels, classes, 1)
        del self.stride  # which convolutions have


class Half(Pixels):
    stride = 2

    def forward(self, images):
        return super().forward(images)[..., ::2, ::2]


class FewChannels(Pixels):
    def forward(self, images):
        return super().forward(images)[:, 1:]


class WrongAuxiliary(Pixels):
    def __init__(self, in_channels: int, classes: int):
        super().__init__(in_channels, classes)
        self.aux = nn.Conv2d(in_channels, 1, 1)

    def forward(self, images):
        return [super().forward(images), self.aux(images)] if self.aux is not None else super().forward(images)


class Fails(Pixels):
    def forward(self, images):
        return self.lost(images)


class Unbuilt(Pixels):
    def __init__(self, in_channels: int, classes: int):
        raise RuntimeError("a file\nis missing")


def place(name: str, **model):
    torch.manual_seed(0)
    data = {"root": ".", "classes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    settings = {"data": data, "model": {"name": f"{__name__}.{name}", "encoder_name": None} | model}
    return place_model(Config.model_validate(settings), torch.device("cpu"))


def test_the_trial_leaves_no_trace():
    model = place("Pixels")
    assert model.net.norm.num_batches_tracked == 0 and model.training
    drawn = torch.rand(1)
    torch.manual_seed(0)
    Pixels(3, 3)
    assert torch.equal(torch.rand(1), drawn)


SHAPES = "{name} returns logits {given} for images (2, 3, 65, 97), not (2, 3, 65, 97)"
HALF = "; for logits of a quarter of the size, set logits_stride = 4 in the class"
REFUSED = {
    "Half": SHAPES.format(name=f"model.name: {__name__}.Half", given="(2, 3, 33, 49)") + HALF,
    "FewChannels": SHAPES.format(name=f"model.name: {__name__}.FewChannels", given="(2, 2, 65, 97)"),
    "WrongAuxiliary": SHAPES.format(name=f"model.name: {__name__}.WrongAuxiliary", given="(2, 1, 65, 97)"),
    "Fails": f"model.name: {__name__}.Fails: test_own.py:LINE: AttributeError: 'Fails' object has no attribute 'lost'",
    "Unbuilt": f"model: {__name__}.Unbuilt: a file is missing",
    "NoStride": f"model: {__name__}.NoStride: it has neither a stride nor an encoder of smp that has one",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_breaks_the_contract(name):
    with pytest.raises(ConfigError) as error:
        place(name, aux=0.4 if name == "WrongAuxiliary" else 0.0)
    assert re.sub(r":\d+:", ":LINE:", str(error.value)) == REFUSED[name]


def test_weights_by_a_name_for_a_network_without_an_encoder():
    with pytest.raises(ConfigError) as error:
        place("Pixels", encoder_weights="x.pth")
    assert str(error.value) == (
        f"model.encoder_weights: {__name__}.Pixels has no encoder; write model.encoder_weights: null"
    )
