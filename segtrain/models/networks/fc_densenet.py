"""FC-DenseNet, also called the hundred-layer Tiramisu.

Jegou et al. 2017, https://arxiv.org/abs/1611.09326. A layer gets what all layers before it in its block gave, and
training keeps all that: expect several times the memory of a U-Net.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Growth, and layers of the blocks on the way down and at the bottom; the way up is the way down backwards.
_VARIANTS = {
    56: (12, (4, 4, 4, 4, 4, 4)),
    67: (16, (5, 5, 5, 5, 5, 5)),
    103: (16, (4, 5, 7, 10, 12, 15)),
}


class FCDenseNet(nn.Module):
    """Dense blocks at the full size, 1/2, .. 1/32 and back.

    Args:
        variant: number of layers: 56, 67 or 103.
        width: channels of the first convolution.
        growth: channels that a layer adds; where it is not given, 12 for variant 56 and 16 for the others.
        layers: of the blocks on the way down, the last one at the bottom; where it is not given, those of the variant.
        dropout: of what each layer gives.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`: 32, or 2 ** (len(layers) - 1).
        - logits: (N, classes, H, W).

    Raises:
        ValueError: the variant is unknown.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        variant: int = 103,
        width: int = 48,
        growth: int | None = None,
        layers: Sequence[int] | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        if variant not in _VARIANTS:
            raise ValueError(f"variant is {variant}, but must be one of {', '.join(map(str, _VARIANTS))}")
        growth = growth or _VARIANTS[variant][0]
        *layers, bottom = layers or _VARIANTS[variant][1]
        self.stride = 2 ** len(layers)
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.down, self.shrink, self.up, self.enlarge = (nn.ModuleList() for _ in range(4))
        skips = []
        for number in layers:
            self.down.append(_DenseBlock(width, growth, number, dropout))
            width += growth * number
            skips.append(width)
            self.shrink.append(nn.Sequential(_layer(width, width, 1, dropout), nn.MaxPool2d(2)))
        self.bottom = _DenseBlock(width, growth, bottom, dropout)
        new = growth * bottom
        for skip, number in zip(reversed(skips), reversed(layers), strict=True):
            self.enlarge.append(nn.ConvTranspose2d(new, new, 3, stride=2))
            self.up.append(_DenseBlock(new + skip, growth, number, dropout))
            width, new = new + skip + growth * number, growth * number
        self.classify = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        features, skips = self.first(images), []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(torch.cat([features, block(features)], 1))
            features = shrink(skips[-1])
        new = self.bottom(features)
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            features = torch.cat([enlarge(new)[..., :-1, :-1], skips.pop()], 1)
            new = block(features)
        return self.classify(torch.cat([features, new], 1))


class _DenseBlock(nn.Module):
    """What its layers give, without what the block was given: only that is enlarged on the way up."""

    def __init__(self, inputs: int, growth: int, layers: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(_layer(inputs + growth * index, growth, 3, dropout) for index in range(layers))

    def forward(self, features: Tensor) -> Tensor:
        stack = [features]
        for layer in self.layers:
            stack.append(layer(torch.cat(stack, 1)))
        return torch.cat(stack[1:], 1)


def _layer(inputs: int, outputs: int, kernel_size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2),
        nn.Dropout(dropout),
    )
