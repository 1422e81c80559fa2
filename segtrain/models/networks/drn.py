"""Dilated residual network: a ResNet that keeps its features at 1/8, and smooths the grid that dilation leaves.

Yu et al. 2017, https://arxiv.org/abs/1705.09914. Dilations are those of the official code, which dilates the first
convolution of a level as the others; in the paper it keeps the rate of the level before. Its names of weights are kept
too, so that its files of pretrained ones can be loaded (`model.encoder_weights: drn_c_26.pth`).
"""

from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm

_DEPTHS = {
    "C-26": (1, 1, 2, 2, 2, 2, 1, 1),
    "C-42": (1, 1, 3, 4, 6, 3, 1, 1),
    "D-22": (1, 1, 2, 2, 2, 2, 1, 1),
    "D-38": (1, 1, 3, 4, 6, 3, 1, 1),
}
_LEVELS = ((1, 1, 1), (2, 2, 1), (4, 2, 1), (8, 2, 1), (16, 1, 2), (32, 1, 4), (32, 1, 2), (32, 1, 1))
"""Of each level: channels as a multiple of the width, stride and dilation."""
_PLAIN = (1, 2, 7, 8)
"""Levels of D that are convolutions, not blocks."""
_WITHOUT_SHORTCUT = (7, 8)
"""Levels of C whose blocks add nothing to what they get, so that no grid passes by them."""


class _Block(nn.Module):
    """Two convolutions, to which their input is added if there is a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, rate: int, shortcut: bool):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(inputs, outputs, activation=False, stride=stride, dilation=rate)
        self.conv2, self.bn2 = conv_norm(outputs, outputs, activation=False, dilation=rate)
        self.downsample = None
        if shortcut and (stride > 1 or inputs != outputs):
            self.downsample = conv_norm(inputs, outputs, 1, activation=False, stride=stride)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        new = functional.relu(self.bn1(self.conv1(features)))
        new = self.bn2(self.conv2(new))
        if self.shortcut:
            new = new + (features if self.downsample is None else self.downsample(features))
        return functional.relu(new)


class _Encoder(nn.Module):
    """Features of eight levels, of which the last five are at 1/8."""

    def __init__(self, variant: str, in_channels: int, width: int):
        super().__init__()
        self.out_channels = [in_channels, *(factor * width for factor, _, _ in _LEVELS)]
        stem = conv_norm(in_channels, width, 7)
        if variant.startswith("D"):
            self.layer0 = stem
        else:
            self.conv1, self.bn1, self.relu = stem
        inputs = width
        for level, (depth, (factor, stride, rate)) in enumerate(zip(_DEPTHS[variant], _LEVELS, strict=True), 1):
            outputs = factor * width
            if variant.startswith("D") and level in _PLAIN:
                layer = conv_norm(inputs, outputs, stride=stride, dilation=rate)
            else:
                layer = _blocks(depth, inputs, outputs, stride, rate, level not in _WITHOUT_SHORTCUT)
            setattr(self, f"layer{level}", layer)
            inputs = outputs

    def forward(self, images: Tensor) -> list[Tensor]:
        outputs = [images]
        for layer in self.children():
            outputs.append(layer(outputs[-1]))
        return [images, *outputs[-len(_LEVELS) :]]


def _blocks(depth: int, inputs: int, outputs: int, stride: int, rate: int, shortcut: bool) -> nn.Sequential:
    first = _Block(inputs, outputs, stride, rate, shortcut)
    return nn.Sequential(first, *(_Block(outputs, outputs, 1, rate, shortcut) for _ in range(1, depth)))


class DRN(nn.Module):
    """Eight levels of residual blocks, and scores of the last.

    Args:
        variant: C-26 or C-42, or D-22 or D-38, whose first and last levels are convolutions instead of blocks.
        width: channels of the first level, of which the others have up to 32 times as many.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 8.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: the variant is unknown.
    """

    stride = logits_stride = 8

    def __init__(self, in_channels: int = 3, classes: int = 1, variant: str = "C-26", width: int = 16):
        super().__init__()
        if variant not in _DEPTHS:
            raise ValueError(f"variant is {variant}, but must be one of {', '.join(_DEPTHS)}")
        self.encoder = _Encoder(variant, in_channels, width)
        self.decoder = nn.Conv2d(self.encoder.out_channels[-1], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])
