"""A network of a few weights, for tests of what does not depend on the architecture."""

import torch
from torch import Tensor, nn

from segtrain.models.model import SegmentationModel


class TinyEncoder(nn.Sequential):
    """A convolution and a norm at full size."""

    output_stride = 1

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


class TinyNet(nn.Module):
    """An encoder and a head, as smp's networks have them: 112 + 8 and 4 * outputs + outputs weights for RGB images."""

    def __init__(self, channels: int = 3, outputs: int = 2):
        super().__init__()
        self.encoder = TinyEncoder(channels)
        self.head = nn.Conv2d(4, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images))


def tiny_model(*, seed: int = 0, freeze: str | None = None) -> SegmentationModel:
    """The network as segtrain wraps one, for RGB images and two classes."""
    torch.manual_seed(seed)
    return SegmentationModel(TinyNet(), mean=[0.5] * 3, std=[0.25] * 3, freeze=freeze)
