"""LEDNet: blocks that split and shuffle channels, and a pyramid of attention, in less than a million parameters.

Wang et al. 2019, https://arxiv.org/abs/1905.02423. As in the authors' code, the pyramid has a single channel: it is a
map of attention. Copies that keep 128 channels in it have 2.33 million parameters, not the paper's 0.94; the authors'
code has 0.92. Unlike theirs, the scores have no ReLU: it leaves no negative logits, and binary masks no background.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm, resize


class LEDNet(nn.Module):
    """An encoder of residual blocks at 1/2, 1/4 and 1/8, dilated at the last, and an attention pyramid network.

    Args:
        width: channels at 1/2; there are twice as many at 1/4, and four times at 1/8. Even, and more than in_channels.
        dilations: of the blocks at 1/8.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 8.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: width is odd, or not more than in_channels.
    """

    stride = logits_stride = 8

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        width: int = 32,
        dilations: tuple[int, ...] = (1, 2, 5, 9, 2, 5, 9, 17),
    ):
        super().__init__()
        if width <= in_channels or width % 2:
            raise ValueError(
                f"width is {width}, but must be even and more than the {in_channels} channels of the images"
            )
        self.body = nn.Sequential(
            _Halve(in_channels, width),
            *(_SplitShuffleBlock(width, dilation=1, dropout=0.03) for _ in range(3)),
            _Halve(width, 2 * width),
            *(_SplitShuffleBlock(2 * width, dilation=1, dropout=0.03) for _ in range(2)),
            _Halve(2 * width, 4 * width),
            *(_SplitShuffleBlock(4 * width, dilation=rate, dropout=0.3) for rate in dilations),
        )
        self.head = _AttentionPyramid(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.head(self.body(images))


class _Halve(nn.Module):
    """A strided convolution beside a pooling."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs - inputs, 3, stride=2, padding=1)
        # Rounded up like the convolution, so that an exporter sees the same size; sides are even.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.norm(torch.cat([self.conv(features), self.pool(features)], 1)))


class _SplitShuffleBlock(nn.Module):
    """Each half of the channels goes through convolutions of 3x1 and 1x3, in one order or the other."""

    def __init__(self, channels: int, *, dilation: int, dropout: float):
        super().__init__()
        self.left = _factorized(channels // 2, dilation, dropout, tall_first=True)
        self.right = _factorized(channels // 2, dilation, dropout, tall_first=False)

    def forward(self, features: Tensor) -> Tensor:
        left, right = features.chunk(2, 1)
        joined = functional.relu(features + torch.cat([self.left(left), self.right(right)], 1))
        return functional.channel_shuffle(joined, 2)


def _factorized(channels: int, dilation: int, dropout: float, *, tall_first: bool) -> nn.Sequential:
    kernels = [(3, 1), (1, 3)] if tall_first else [(1, 3), (3, 1)]
    layers: list[nn.Module] = []
    for rate in (1, dilation):
        for kernel in kernels:
            padding = (rate * (kernel[0] // 2), rate * (kernel[1] // 2))
            layers += [nn.Conv2d(channels, channels, kernel, padding=padding, dilation=rate), nn.ReLU(inplace=True)]
        layers.insert(-1, nn.BatchNorm2d(channels))
    return nn.Sequential(*layers[:-1], nn.Dropout2d(dropout))


class _AttentionPyramid(nn.Module):
    """Scores of classes, multiplied by a map that sees the features at 1/2, 1/4 and 1/8, plus scores of the image."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(channels, classes, 1, activation=False))
        self.scores = conv_norm(channels, classes, 1, activation=False)
        self.down = nn.ModuleList(
            conv_norm(inputs, 1, side, stride=2) for inputs, side in ((channels, 7), (1, 5), (1, 3))
        )
        self.across = nn.ModuleList(conv_norm(1, 1, side) for side in (7, 5, 3))

    def forward(self, features: Tensor) -> Tensor:
        maps = [features]
        for down in self.down:
            maps.append(down(maps[-1]))
        attention = self.across[2](maps[3])
        for level in (2, 1):
            attention = resize(attention, maps[level]) + self.across[level - 1](maps[level])
        return resize(attention, features) * self.scores(features) + self.image(features)
