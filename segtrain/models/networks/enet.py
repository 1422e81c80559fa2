"""ENet.

Paszke et al. 2016, https://arxiv.org/abs/1606.02147. As in the authors' code, a bottleneck narrows to a quarter of the
channels that it gives; copies take a quarter of those that it gets. As in the paper, all activations are PReLU with a
slope for each channel, and the decoder has dropout too; the authors' decoder has ReLU and no dropout.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm
from segtrain.models.networks.unpooling import max_pool, max_unpool

_FILTERS, _NARROW, _WIDE = 13, 64, 128


class ENet(nn.Module):
    """Bottlenecks at 1/8 of the size, half of them dilated or asymmetric, and a small decoder with unpooling.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 8.
        - logits: (N, classes, H, W).

    Raises:
        ValueError: in_channels is above 51.
    """

    stride = 8

    def __init__(self, in_channels: int = 3, classes: int = 1):
        super().__init__()
        first = _FILTERS + in_channels  # 16 in the paper
        if first > _NARROW:
            raise ValueError(f"in_channels is {in_channels}, but must be at most {_NARROW - _FILTERS}")
        self.first = nn.Conv2d(in_channels, _FILTERS, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.Sequential(nn.BatchNorm2d(first), nn.PReLU(first))
        self.shrink1 = _Shrink(first, _NARROW, dropout=0.01)
        self.stage1 = nn.Sequential(*(_Bottleneck(_NARROW, dropout=0.01) for _ in range(4)))
        self.shrink2 = _Shrink(_NARROW, _WIDE, dropout=0.1)
        middles = [{}, {"dilation": 2}, {"is_asymmetric": True}, {"dilation": 4}]
        middles += [{}, {"dilation": 8}, {"is_asymmetric": True}, {"dilation": 16}]
        self.stages2and3 = nn.Sequential(*(_Bottleneck(_WIDE, **middle) for middle in 2 * middles))
        self.enlarge4 = _Enlarge(_WIDE, _NARROW)
        self.stage4 = nn.Sequential(_Bottleneck(_NARROW), _Bottleneck(_NARROW))
        self.enlarge5 = _Enlarge(_NARROW, first)
        self.stage5 = _Bottleneck(first)
        self.classify = nn.ConvTranspose2d(first, classes, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        features = self.first_norm(torch.cat([self.first(images), functional.max_pool2d(images, 2)], 1))
        features, positions1 = self.shrink1(features)
        features, positions2 = self.shrink2(self.stage1(features))
        features = self.stage4(self.enlarge4(self.stages2and3(features), positions2))
        return self.classify(self.stage5(self.enlarge5(features, positions1)))


def _middle(channels: int, *, dilation: int = 1, is_asymmetric: bool = False) -> nn.Module:
    if is_asymmetric:
        rows = nn.Conv2d(channels, channels, (5, 1), padding=(2, 0), bias=False)
        return nn.Sequential(rows, nn.Conv2d(channels, channels, (1, 5), padding=(0, 2), bias=False))
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)


def _branch(inputs: int, outputs: int, middle: nn.Module, dropout: float, *, stride: int = 1) -> nn.Sequential:
    """Narrows, computes, widens; `middle` keeps a quarter of `outputs`."""
    inner = outputs // 4
    return nn.Sequential(
        conv_norm(inputs, inner, stride, stride=stride, padding=0, activation=nn.PReLU(inner)),
        middle,
        nn.BatchNorm2d(inner),
        nn.PReLU(inner),
        conv_norm(inner, outputs, 1, activation=False),
        nn.Dropout2d(dropout),
    )


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, *, dropout: float = 0.1, **middle: int):
        super().__init__()
        self.branch = _branch(channels, channels, _middle(channels // 4, **middle), dropout)
        self.activation = nn.PReLU(channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.branch(features))


class _Shrink(nn.Module):
    """Halves the size; what is added to its branch is pooled, with zeros for the channels that are new."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float):
        super().__init__()
        self.branch = _branch(inputs, outputs, _middle(outputs // 4), dropout, stride=2)
        self.activation = nn.PReLU(outputs)
        self.new_channels = outputs - inputs

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        largest, positions = max_pool(features)
        shortcut = functional.pad(largest, (0, 0, 0, 0, 0, self.new_channels))
        return self.activation(shortcut + self.branch(features)), positions


class _Enlarge(nn.Module):
    """Doubles the size; what is added to its branch is unpooled where a `_Shrink` found the largest values."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        inner = outputs // 4
        middle = nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.branch = _branch(inputs, outputs, middle, dropout=0.1)
        self.shortcut = conv_norm(inputs, outputs, 1, activation=False)
        self.activation = nn.PReLU(outputs)

    def forward(self, features: Tensor, positions: Tensor) -> Tensor:
        return self.activation(max_unpool(self.shortcut(features), positions) + self.branch(features))
