"""STDC: BiSeNet without its spatial path, on an encoder of short-term dense concatenations that learns details.

Fan et al. 2021, "Rethinking BiSeNet for real-time semantic segmentation", https://arxiv.org/abs/2104.13188. The encoder
has the official names, so that files of the authors' pretrained weights load as `encoder_weights`. Corners are not
aligned where logits are enlarged; the official code aligns them.
"""

from collections import OrderedDict
from typing import Any

import torch
from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import AttentionRefinement, conv_norm, resize
from segtrain.models.networks.branches import check_variant

_VARIANTS = {"1": (2, 2, 2), "2": (4, 5, 3)}  # blocks at 1/8, 1/16 and 1/32


class STDC(nn.Module):
    """Context at 1/32 and 1/16, refined by attention and joined with the encoder's own features at 1/8.

    In training it gives two auxiliary logits, from the context at 1/8 and at 1/16, and as `edges` the logits of whether
    a pixel is a detail, from the encoder's features at 1/8. They are for DetailLoss.

    Args:
        variant: 1 or 2.
        width: channels at 1/4, of which all others of the encoder are multiples; 64 in the paper.
        decoder_channels: channels of the context; the fusion has twice as many.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 32.
        - logits: (N, classes, H / 8, W / 8).
        - edges: (N, 1, H, W), enlarged, so that they fit the image exactly after padding is cropped.

    Raises:
        ValueError: the variant is unknown.
    """

    stride, logits_stride = 32, 8
    further_outputs = ("edges",)

    def __init__(
        self, in_channels: int = 3, classes: int = 1, variant: Any = 1, width: int = 64, decoder_channels: int = 128
    ):
        super().__init__()
        self.encoder = _Encoder(in_channels, width, check_variant(variant, _VARIANTS))
        self.decoder = _Decoder(width, decoder_channels, classes)
        heads = {
            "8": _build_head(decoder_channels, 64, classes),
            "16": _build_head(decoder_channels, 64, classes),
            "edges": _build_head(width * 4, 64, 1),
        }
        self.aux: nn.Module | None = nn.ModuleDict(heads)
        initialize_decoder(self)

    def forward(self, images: Tensor) -> Tensor | list[Any]:
        """Logits, see the class."""
        fine, middle, coarse = self.encoder(images)
        logits, context, deep = self.decoder(fine, middle, coarse)
        if not self.training or self.aux is None:
            return logits
        edges = resize(self.aux["edges"](fine), images)
        return [logits, self.aux["8"](context), self.aux["16"](deep), {"edges": edges}]


def _build_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, hidden), nn.Conv2d(hidden, outputs, 1, bias=False))


def _named_conv(inputs: int, outputs: int, kernel_size: int = 3, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs), relu=nn.ReLU(inplace=True)))


class _Block(nn.Module):
    """A chain of four convolutions with 1/2, 1/4, 1/8 and 1/8 of the outputs, all of which are joined."""

    def __init__(self, inputs: int, outputs: int, *, stride: int):
        super().__init__()
        half = outputs // 2
        self.conv_list = nn.ModuleList([_named_conv(inputs, half, 1)])
        self.conv_list.extend(_named_conv(outputs // each, outputs // part) for each, part in ((2, 4), (4, 8), (8, 8)))
        self.skip: nn.Module = nn.Identity()
        self.avd_layer: nn.Module = nn.Identity()
        if stride == 2:
            self.skip = nn.AvgPool2d(3, stride=2, padding=1)
            self.avd_layer = conv_norm(half, half, stride=2, groups=half, activation=False)

    def forward(self, features: Tensor) -> Tensor:
        first, *others = self.conv_list
        features = first(features)
        parts = [self.skip(features)]
        features = self.avd_layer(features)
        for conv in others:
            features = conv(features)
            parts.append(features)
        return torch.cat(parts, 1)


class _Encoder(nn.Module):
    """STDCNet without its classifier: gives features at 1/8, 1/16 and 1/32."""

    def __init__(self, in_channels: int, width: int, blocks: tuple[int, int, int]):
        super().__init__()
        self.ends = [sum(blocks[: stage + 1]) + 1 for stage in range(3)]  # the last blocks of the stages
        self.features = nn.Sequential(
            _named_conv(in_channels, width // 2, stride=2), _named_conv(width // 2, width, stride=2)
        )
        inputs = width
        for stage, count in enumerate(blocks):
            outputs = width * 4 * 2**stage
            for index in range(count):
                self.features.append(_Block(inputs, outputs, stride=1 if index else 2))
                inputs = outputs

    def forward(self, images: Tensor) -> list[Tensor]:
        features, outputs = images, []
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.ends:
                outputs.append(features)
        return outputs


class _Decoder(nn.Module):
    """The context path and the feature fusion of BiSeNet. Gives logits at 1/8, and the context at 1/8 and at 1/16."""

    def __init__(self, width: int, channels: int, classes: int):
        super().__init__()
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(width * 16, channels, 1))
        self.attention32 = AttentionRefinement(width * 16, channels)
        self.attention16 = AttentionRefinement(width * 8, channels)
        self.conv32 = conv_norm(channels, channels)
        self.conv16 = conv_norm(channels, channels)
        joined = channels * 2
        self.join = conv_norm(width * 4 + channels, joined, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(joined, joined // 4, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(joined // 4, joined, 1, bias=False),
            nn.Sigmoid(),
        )
        self.head = _build_head(joined, joined, classes)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        deep = self.attention32(coarse) + self.mean(coarse)
        deep = self.conv32(functional.interpolate(deep, middle.shape[-2:], mode="nearest"))
        context = self.attention16(middle) + deep
        context = self.conv16(functional.interpolate(context, fine.shape[-2:], mode="nearest"))
        joined = self.join(torch.cat([fine, context], 1))
        return self.head(joined + joined * self.gate(joined)), context, deep
