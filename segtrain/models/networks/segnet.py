"""SegNet, and its idea on the layers of a ResNet-50: decoders that mirror the encoder and undo its pooling.

Badrinarayanan et al. 2015, https://arxiv.org/abs/1511.00561. SegResNet is in no paper. It has the layers of the usual
code for it, but pools in windows of 2 x 2: in ResNet's own, which are 3 x 3 and overlap, a pixel can be the largest of
several, and unpooling keeps one of their values at random.
"""

import itertools

from torch import Tensor, nn

from segtrain.models.networks.blocks import conv_norm
from segtrain.models.networks.unpooling import max_pool, max_unpool


class SegNet(nn.Module):
    """The convolutions of vgg16_bn, and the same backwards, the last of which gives the classes.

    Args:
        width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 32.
        - logits: (N, classes, H, W).
    """

    stride = 32

    def __init__(self, in_channels: int = 3, classes: int = 1, width: int = 64):
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8)]
        inputs, layers = [in_channels, *widths[:-1]], (2, 2, 3, 3, 3)
        self.down = nn.ModuleList(_convolutions(*each) for each in zip(inputs, widths, layers, strict=True))
        back = reversed([*zip(widths, [width, *widths[:-1]], (1, *layers[1:]), strict=True)])
        self.up = nn.ModuleList(_convolutions(*each, is_mirrored=True) for each in back)
        self.classify = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        features, positions = images, []
        for stage in self.down:
            features, where = max_pool(stage(features))
            positions.append(where)
        for stage in self.up:
            features = stage(max_unpool(features, positions.pop()))
        return self.classify(features)


def _convolutions(inputs: int, outputs: int, layers: int, *, is_mirrored: bool = False) -> nn.Sequential:
    """Convolutions, of which the first changes the number of channels, or, mirrored, the last."""
    channels = [inputs] * layers + [outputs] if is_mirrored else [inputs] + [outputs] * layers
    return nn.Sequential(*(conv_norm(*each) for each in itertools.pairwise(channels)))


class SegResNet(nn.Module):
    """The layers of a ResNet-50, and the same backwards with transposed convolutions, and one unpooling.

    Args:
        width: channels of the first convolution.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 32.
        - logits: (N, classes, H, W).
    """

    stride = 32

    def __init__(self, in_channels: int = 3, classes: int = 1, width: int = 64):
        super().__init__()
        self.first = conv_norm(in_channels, width, 7, stride=2)
        stages = [(4 * width, 3), (8 * width, 4), (16 * width, 6), (32 * width, 3)]
        down, channels = [], width
        for number, (outputs, blocks) in enumerate(stages):
            for index in range(blocks):
                down.append(_Bottleneck(channels, outputs, outputs // 4, stride=2 if number and not index else 1))
                channels = outputs
        self.down = nn.Sequential(*down)
        up = []
        for number, (channels, blocks) in reversed([*enumerate(stages)]):
            up += [_Bottleneck(channels, channels, channels // 4) for _ in range(blocks - 1)]
            outputs = stages[number - 1][0] if number else width
            up.append(_Bottleneck(channels, outputs, channels // 4, doubles=number > 0))
        self.up = nn.Sequential(*up)
        self.last = nn.ConvTranspose2d(width, width, 2, stride=2, bias=False)
        self.classify = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        features, positions = max_pool(self.first(images))
        return self.classify(self.last(max_unpool(self.up(self.down(features)), positions)))


class _Bottleneck(nn.Module):
    """Bottleneck of a ResNet, as torchvision has it; with `doubles` one that doubles the size."""

    def __init__(self, inputs: int, outputs: int, inner: int, *, stride: int = 1, doubles: bool = False):
        super().__init__()
        middle = _doubling(inner, inner) if doubles else conv_norm(inner, inner, stride=stride, activation=False)
        self.branch = nn.Sequential(
            conv_norm(inputs, inner, 1), middle, nn.ReLU(inplace=True), conv_norm(inner, outputs, 1, activation=False)
        )
        self.shortcut: nn.Module = nn.Identity()
        if doubles:
            self.shortcut = _doubling(inputs, outputs)
        elif inputs != outputs:
            self.shortcut = conv_norm(inputs, outputs, 1, stride=stride, activation=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.branch(features) + self.shortcut(features))


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False), nn.BatchNorm2d(outputs))
