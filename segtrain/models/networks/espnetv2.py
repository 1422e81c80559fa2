"""ESPNetv2: pyramids of depthwise dilated convolutions, for small processors.

Mehta et al. 2019, https://arxiv.org/abs/1811.11431. The decoder is that of the authors' later code, EdgeNets:
efficient pyramid pooling on every level. Here features are resized bilinearly, or pooled in windows of 10, where the
authors pool adaptively; with an even number of rows and columns that is the same at scales of 2 and 0.5. Copies of
their first decoder keep the layers of ImageNet's classes, unused.
"""

import math
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm, conv_norm_prelu, norm_prelu, resize

_SCALES = (0.5, 1.0, 1.25, 1.5, 2.0)
_BRANCHES = 4


class ESPNetv2(nn.Module):
    """An encoder of pyramid units down to 1/16, and a decoder that pools on every level up to 1/2.

    Args:
        scale: factor of the encoder's channels: 0.5, 1.0, 1.25, 1.5 or 2.0.
        blocks: pyramid units at 1/8 and 1/16, behind those that halve the size.
        decoder_channels: at 1/16, 1/8 and 1/4.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 16.
        - logits: (N, classes, H / 2, W / 2).

    Raises:
        ValueError: the scale is not one of these, or a list has the wrong length.
    """

    stride, logits_stride = 16, 2

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        scale: float = 2.0,
        blocks: tuple[int, int] = (3, 7),
        decoder_channels: tuple[int, int, int] = (64, 48, 32),
    ):
        super().__init__()
        if scale not in _SCALES:
            raise ValueError(f"scale is {scale}, but must be one of {', '.join(map(str, _SCALES))}")
        for key, numbers, count in (("blocks", blocks, 2), ("decoder_channels", decoder_channels, 3)):
            if len(numbers) != count:
                raise ValueError(f"{key} is {list(numbers)}, but must be {count} numbers")
        base = int(32 * scale)
        widths = [min(base, 32), 2 * base, 4 * base, 8 * base]
        self.stem = conv_norm_prelu(in_channels, widths[0], 3, stride=2)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)
        self.halve = nn.ModuleList(_Halve(widths[level], widths[level + 1], in_channels) for level in range(3))
        self.stages = nn.ModuleList(
            [
                nn.Identity(),
                nn.Sequential(*(_Pyramid(widths[2], widths[2], dilations=(1, 2, 3, 4)) for _ in range(blocks[0]))),
                nn.Sequential(*(_Pyramid(widths[3], widths[3], dilations=(1, 1, 2, 3)) for _ in range(blocks[1]))),
            ]
        )
        # The authors take half as many as there are classes, which leaves too few for two of them.
        hidden = min(max(classes // 2, 8), 16)
        joined = (widths[3], *decoder_channels)
        outputs = (*decoder_channels, classes)
        self.pool = nn.ModuleList(
            _PyramidPooling(joined[level], hidden, outputs[level], bias=level == 3) for level in range(4)
        )
        self.skip = nn.ModuleList(_Skip(widths[2 - level], decoder_channels[level]) for level in range(3))
        self.norm = nn.ModuleList(norm_prelu(channels) for channels in decoder_channels for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        pyramid = [self.stem(images)]
        images = self.shrink(images)
        for halve, stage in zip(self.halve, self.stages, strict=True):
            images = self.shrink(images)
            pyramid.append(stage(halve(pyramid[-1], images)))
        features = self.pool[0](pyramid.pop())
        for level, skip in enumerate(self.skip):
            finer = pyramid.pop()
            joined = skip(finer) + resize(self.norm[2 * level](features), finer)
            features = self.pool[level + 1](self.norm[2 * level + 1](joined))
        return features


class _Pyramid(nn.Module):
    """EESP: a reduction, depthwise convolutions, each added to those of a smaller dilation, and an expansion."""

    def __init__(self, inputs: int, outputs: int, *, dilations: tuple[int, ...], stride: int = 1):
        super().__init__()
        hidden = outputs // _BRANCHES
        self.reduce = conv_norm_prelu(inputs, hidden, 1, groups=_BRANCHES)
        self.branches = nn.ModuleList(
            nn.Conv2d(hidden, hidden, 3, stride, padding=rate, dilation=rate, groups=hidden, bias=False)
            for rate in dilations
        )
        self.expand = nn.Sequential(
            norm_prelu(outputs), conv_norm(outputs, outputs, 1, groups=_BRANCHES, activation=False)
        )
        self.activation = nn.PReLU(outputs) if stride == 1 else None

    def forward(self, features: Tensor) -> Tensor:
        reduced = self.reduce(features)
        # The sums take away the gridding of large dilations.
        fused = torch.cat([*accumulate(branch(reduced) for branch in self.branches)], 1)
        expanded = self.expand(fused)
        return expanded if self.activation is None else self.activation(features + expanded)


class _Halve(nn.Module):
    """A pooling beside a strided pyramid unit, reinforced by the image at the same size."""

    def __init__(self, inputs: int, outputs: int, in_channels: int):
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.unit = _Pyramid(inputs, outputs - inputs, dilations=(1, 2, 3, 4), stride=2)
        self.reinforce = nn.Sequential(
            conv_norm_prelu(in_channels, in_channels, 3), conv_norm(in_channels, outputs, 1, activation=False)
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        halved = torch.cat([self.pool(features), self.unit(features)], 1)
        return self.activation(halved + self.reinforce(image))


class _PyramidPooling(nn.Module):
    """Depthwise convolutions at 2, 1.5, 1, 0.5 and 0.1 of the size, of a few channels, merged channel by channel."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, bias: bool):
        super().__init__()
        self.project = conv_norm_prelu(inputs, hidden, 1)
        self.convs = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False) for _ in range(5))
        self.merge = nn.Sequential(
            norm_prelu(5 * hidden),
            conv_norm_prelu(5 * hidden, hidden, 3, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=bias),
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.project(features)
        height, width = features.shape[-2:]
        pyramid = [resize(features, ((height * halves + 1) // 2, (width * halves + 1) // 2)) for halves in (4, 3, 2, 1)]
        pyramid.append(_pool_tenth(features))
        maps = [resize(conv(scaled), features) for conv, scaled in zip(self.convs, pyramid, strict=True)]
        return self.merge(torch.stack(maps, 2).flatten(1, 2))  # the five of a channel beside each other


def _pool_tenth(features: Tensor) -> Tensor:
    """Means of windows of 10 x 10, over the pixels that a window at the border has: avg_pool2d with ceil_mode, which
    OpenVINO does not take for less than 10 pixels."""
    height, width = features.shape[-2:]
    pads = (0, (width + 9) // 10 * 10 - width, 0, (height + 9) // 10 * 10 - height)
    counted = functional.pad(torch.ones_like(features[:1, :1]), pads)
    return functional.avg_pool2d(functional.pad(features, pads), 10) / functional.avg_pool2d(counted, 10)


class _Skip(nn.Module):
    """Features of the encoder, with another number of channels, weighted by their means."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1, bias=False), nn.Sigmoid())
        self.conv = conv_norm_prelu(inputs, outputs, 3, groups=math.gcd(inputs, outputs))

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(features) * self.weigh(features)
