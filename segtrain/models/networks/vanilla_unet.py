"""U-Net of the paper, trained from scratch; smp's Unet is its decoder on a pretrained encoder.

Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597. As everybody trains it, convolutions keep the size and have
BatchNorm; the paper's lose a border of a pixel each and have none.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm, resize


class VanillaUNet(nn.Module):
    """Pairs of convolutions at 1/1, 1/2, .. of the size and back, each joined with its like on the way down.

    Args:
        width: channels at the full size; every halving of the size doubles them.
        depth: number of sizes.
        bilinear: enlarge bilinearly, not by transposed convolutions, and give the pairs on the way up and the last one
            on the way down half of the channels. It has 43 % of the parameters.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 2 ** (depth - 1), which is `stride`.
        - logits: (N, classes, H, W).

    Raises:
        ValueError: depth is below 2.
    """

    def __init__(self, in_channels: int = 3, classes: int = 1, width: int = 64, depth: int = 5, bilinear: bool = False):
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}, but must be at least 2")
        self.stride = 2 ** (depth - 1)
        widths = [width * 2**level for level in range(depth)]
        if bilinear:
            widths[-1] //= 2
        inputs = [in_channels, *widths]
        self.down = nn.ModuleList(_pair(*each) for each in zip(inputs, widths, strict=False))
        self.enlarge, self.up = nn.ModuleList(), nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(depth - 1)):
            joined = 2 * widths[level]
            self.enlarge.append(nn.Identity() if bilinear else nn.ConvTranspose2d(below, widths[level], 2, stride=2))
            below = widths[level] // 2 if bilinear and level else widths[level]
            self.up.append(_pair(joined, below))
        self.classify = nn.Conv2d(below, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        first, *others = self.down
        skips = [first(images)]
        for pair in others:
            skips.append(pair(functional.max_pool2d(skips[-1], 2)))
        features = skips.pop()
        for enlarge, pair in zip(self.enlarge, self.up, strict=True):
            skip = skips.pop()
            features = pair(torch.cat([skip, resize(enlarge(features), skip)], 1))
        return self.classify(features)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, outputs), conv_norm(outputs, outputs))
