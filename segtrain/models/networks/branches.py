"""Parts that DDRNet and PIDNet share: residual blocks, pyramid pooling modules, a head.

Their branches exchange features before the ReLU, so blocks can end without one.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import conv_norm, resize

_POOLS = ((5, 2), (9, 4), (17, 8))  # side and stride of the average pools


def check_variant(variant: Any, variants: Mapping[str, Any]) -> Any:
    """What a network's table says of a variant, which may be written as a number."""
    if str(variant) not in variants:
        raise ValueError(f"variant is {variant!r}, but must be one of {', '.join(variants)}")
    return variants[str(variant)]


class _Residual(nn.Module):
    """A residual block of two 3 x 3 convolutions, or a bottleneck that makes twice its channels."""

    def __init__(self, inputs: int, channels: int, *, stride: int, bottleneck: bool, activation: bool):
        super().__init__()
        outputs = channels * 2 if bottleneck else channels
        if bottleneck:
            self.convs = nn.Sequential(
                conv_norm(inputs, channels, 1),
                conv_norm(channels, channels, stride=stride),
                conv_norm(channels, outputs, 1, activation=False),
            )
        else:
            self.convs = nn.Sequential(
                conv_norm(inputs, channels, stride=stride), conv_norm(channels, channels, activation=False)
            )
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride=stride, activation=False)
        self.activation = nn.ReLU() if activation else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.convs(features) + self.skip(features))


def residual_blocks(
    inputs: int, channels: int, blocks: int, *, stride: int = 1, bottleneck: bool = False
) -> nn.Sequential:
    """Residual blocks, of which the first has the stride. The last ends without ReLU, as every bottleneck does."""
    outputs = channels * 2 if bottleneck else channels
    return nn.Sequential(
        *(
            _Residual(
                inputs if index == 0 else outputs,
                channels,
                stride=stride if index == 0 else 1,
                bottleneck=bottleneck,
                activation=not bottleneck and index < blocks - 1,
            )
            for index in range(blocks)
        )
    )


def norm_first_conv(inputs: int, outputs: int, kernel_size: int, **options) -> nn.Sequential:
    """BatchNorm, ReLU and a convolution without bias that keeps the size; `options` are those of Conv2d."""
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False, **options)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), conv)


def norm_first_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A head of a 3 x 3 and a 1 x 1 convolution, each behind BatchNorm and ReLU."""
    last = nn.Conv2d(hidden, outputs, 1)
    return nn.Sequential(norm_first_conv(inputs, hidden, 3), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True), last)


class DAPPM(nn.Module):
    """Deep aggregation pyramid pooling module: average pools of growing size, each added to the convolved sum of those
    before it (Hong et al. 2021, https://arxiv.org/abs/2101.06085).

    Shape:
        - features: (N, inputs, h, w), any h and w.
        - output: (N, outputs, h, w).
    """

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        pools = [nn.AvgPool2d(side, stride, padding=side // 2) for side, stride in _POOLS]
        pools = [nn.Identity(), *pools, nn.AdaptiveAvgPool2d(1)]
        self.scales = nn.ModuleList(nn.Sequential(pool, norm_first_conv(inputs, hidden, 1)) for pool in pools)
        self.process = self._build_process(hidden)
        self.compression = norm_first_conv(hidden * len(pools), outputs, 1)
        self.shortcut = norm_first_conv(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same height and width, see the class."""
        finest, *coarser = (scale(features) for scale in self.scales)
        levels = self._aggregate(finest, [resize(level, features) for level in coarser])
        return self.compression(torch.cat(levels, 1)) + self.shortcut(features)

    def _build_process(self, hidden: int) -> nn.Module:
        return nn.ModuleList(norm_first_conv(hidden, hidden, 3) for _ in range(len(_POOLS) + 1))

    def _aggregate(self, finest: Tensor, coarser: list[Tensor]) -> list[Tensor]:
        levels = [finest]
        for convolve, level in zip(self.process, coarser, strict=True):
            levels.append(convolve(level + levels[-1]))
        return levels


class PAPPM(DAPPM):
    """Parallel aggregation pyramid pooling module: DAPPM whose pools do not wait for each other, but go through one
    grouped convolution (Xu et al. 2023, https://arxiv.org/abs/2206.02066)."""

    def _build_process(self, hidden: int) -> nn.Module:
        groups = len(_POOLS) + 1
        return norm_first_conv(hidden * groups, hidden * groups, 3, groups=groups)

    def _aggregate(self, finest: Tensor, coarser: list[Tensor]) -> list[Tensor]:
        return [finest, self.process(torch.cat([level + finest for level in coarser], 1))]
