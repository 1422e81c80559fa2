"""Context Guided Network: half a million parameters, and context in every block.

Wu et al. 2018, https://arxiv.org/abs/1811.08201. The numbers of blocks are those of the paper, M = 3 and N = 21, and
count the block that halves the size; the widths are those of the authors' code.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import conv_norm_prelu, norm_prelu


class CGNet(nn.Module):
    """Three stages, at 1/2, 1/4 and 1/8; the image, made smaller, joins in before the second and the third.

    Args:
        blocks: of the second and the third stage, M and N of the paper, with the block that halves the size; 2 or more.
        width: channels of the first stage; the others have twice and four times as many. A multiple of 8.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 8.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: blocks or width is not as above.
    """

    stride = logits_stride = 8

    def __init__(self, in_channels: int = 3, classes: int = 1, blocks: tuple[int, int] = (3, 21), width: int = 32):
        super().__init__()
        if len(blocks) != 2 or min(blocks) < 2:
            raise ValueError(f"blocks is {list(blocks)}, but must be two numbers of at least 2, like [3, 21]")
        if width < 8 or width % 8:
            raise ValueError(f"width is {width}, but must be a multiple of 8")
        self.stem = nn.Sequential(
            conv_norm_prelu(in_channels, width, 3, stride=2),
            conv_norm_prelu(width, width, 3),
            conv_norm_prelu(width, width, 3),
        )
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)
        self.join1 = norm_prelu(width + in_channels)
        self.stage2 = _stage(width + in_channels, 2 * width, blocks[0], dilation=2, reduction=8)
        self.join2 = norm_prelu(4 * width + in_channels)
        self.stage3 = _stage(4 * width + in_channels, 4 * width, blocks[1], dilation=4, reduction=16)
        self.join3 = norm_prelu(8 * width)
        self.classifier = nn.Conv2d(8 * width, classes, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        half = self.shrink(images)
        features = self.join1(torch.cat([self.stem(images), half], 1))
        first = self.stage2[0](features)
        features = self.join2(torch.cat([self.stage2[1:](first), first, self.shrink(half)], 1))
        first = self.stage3[0](features)
        return self.classifier(self.join3(torch.cat([first, self.stage3[1:](first)], 1)))


def _stage(inputs: int, outputs: int, blocks: int, **options: int) -> nn.Sequential:
    layers = [_ContextGuidedBlock(inputs, outputs, halve=True, **options)]
    return nn.Sequential(*layers, *(_ContextGuidedBlock(outputs, outputs, **options) for _ in range(blocks - 1)))


class _ContextGuidedBlock(nn.Module):
    """Local features and those of the surroundings, joined, then weighted by the mean of the whole image."""

    def __init__(self, inputs: int, outputs: int, *, dilation: int, reduction: int, halve: bool = False):
        super().__init__()
        self.halve = halve
        hidden = outputs if halve else outputs // 2
        self.reduce = conv_norm_prelu(inputs, hidden, 3 if halve else 1, stride=2 if halve else 1)
        self.near = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.far = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden, bias=False)
        self.join = norm_prelu(2 * hidden)
        if halve:
            self.join.append(nn.Conv2d(2 * hidden, outputs, 1, bias=False))
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs // reduction, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        reduced = self.reduce(features)
        joint = self.join(torch.cat([self.near(reduced), self.far(reduced)], 1))
        joint = joint * self.weigh(joint)
        return joint if self.halve else features + joint
