"""Deep Feature Aggregation Network: one small Xception three times, each refining what the one before it saw.

Li et al. 2019, https://arxiv.org/abs/1904.02216. The first convolution of a stage has the stride, and the decoder
merges with 3x3: then the multiply-adds are the paper's, 3.4 G for A at 1024x1024. The paper's 7.8 and 4.8 million
parameters do not follow from its layers, which have 1.8 and 1.1 million; in float32, these are 7.4 and 4.4 megabytes.
Copies with 2.02 million hold a second classifier of ImageNet's classes, unused.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import conv_norm, resize

_CHANNELS = {"A": (48, 96, 192), "B": (32, 64, 128)}


class DFANet(nn.Module):
    """Three encoders in a row, to 1/16, 1/32 and 1/64 of the size, and a decoder that sums their features at 1/4.

    Args:
        variant: encoder of the paper, A or B.
        blocks: of the three stages of each encoder.
        decoder_channels: of the decoder.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 4.
        - logits: (N, classes, H / 4, W / 4).

    Raises:
        ValueError: the variant is unknown, or blocks is not three positive numbers.
    """

    stride = logits_stride = 4

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 1,
        variant: str = "A",
        blocks: tuple[int, int, int] = (4, 6, 4),
        decoder_channels: int = 32,
    ):
        super().__init__()
        if variant not in _CHANNELS:
            raise ValueError(f"variant is {variant}, but must be A or B")
        if len(blocks) != 3 or min(blocks) < 1:
            raise ValueError(f"blocks is {list(blocks)}, but must be three numbers of at least 1, like [4, 6, 4]")
        channels = _CHANNELS[variant]
        first, middle, last = channels
        self.stem = conv_norm(in_channels, 8, 3, stride=2)
        self.encoders = nn.ModuleList(
            [
                _Encoder((8, first, middle), channels, blocks),
                *(_Encoder((last + first, first + middle, middle + last), channels, blocks) for _ in range(2)),
            ]
        )
        self.early = nn.ModuleList(conv_norm(first, decoder_channels, 1) for _ in range(3))
        self.merge = conv_norm(decoder_channels, decoder_channels, 3)
        self.late = nn.ModuleList(conv_norm(last, decoder_channels, 1) for _ in range(3))
        self.classifier = nn.Conv2d(decoder_channels, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        passes: list[list[Tensor]] = []
        for encoder in self.encoders:
            if passes:
                before = passes[-1]
                passes.append(encoder(resize(before[-1], before[0]), before))
            else:
                passes.append(encoder(self.stem(images), None))
        size = passes[0][0].shape[-2:]
        early = sum(resize(reduce(stages[0]), size) for reduce, stages in zip(self.early, passes, strict=True))
        late = sum(resize(reduce(stages[-1]), size) for reduce, stages in zip(self.late, passes, strict=True))
        return self.classifier(self.merge(early) + late)


class _Encoder(nn.Module):
    """The features of three stages, and those of the last one weighted by the contents of the image."""

    def __init__(self, inputs: tuple[int, ...], channels: tuple[int, ...], blocks: tuple[int, ...]):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(entering, own, stride=2), *(_Block(own, own) for _ in range(number - 1)))
            for entering, own, number in zip(inputs, channels, blocks, strict=True)
        )
        # The paper pretrains the first of these as the classifier of ImageNet's 1000 classes.
        self.attend = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels[-1], 1000, 1), conv_norm(1000, channels[-1], 1)
        )

    def forward(self, features: Tensor, before: list[Tensor] | None) -> list[Tensor]:
        """`before`: what the encoder before this one gave."""
        outputs = []
        for level, stage in enumerate(self.stages):
            features = stage(features if before is None else torch.cat([features, before[level]], 1))
            outputs.append(features)
        return [*outputs, features * self.attend(features)]


class _Block(nn.Module):
    """Three separable convolutions, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1):
        super().__init__()
        hidden = outputs // 4
        self.convs = nn.Sequential(
            _separable(inputs, hidden, stride), _separable(hidden, hidden), _separable(hidden, outputs)
        )
        self.shortcut = nn.Identity() if stride == 1 else conv_norm(inputs, outputs, 1, stride=stride, activation=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.convs(features) + self.shortcut(features)


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        conv_norm(inputs, inputs, 3, stride=stride, groups=inputs, activation=False),
        conv_norm(inputs, outputs, 1, activation=False),
    )
