"""Network with data-dependent upsampling: a linear map turns each pixel of its features into a block of logits.

Tian et al. 2019, https://arxiv.org/abs/1903.02120, without official code. The paper finds the map beforehand, as the
decoder of a linear autoencoder of the blocks of masks; here, as in others' code, it is trained with the rest.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize


class DUNet(nn.Module):
    """All features from 1/4 on, joined at the size of the last, and an upsampling that is learned.

    Args:
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated; also the side of a block.
        decoder_channels: of the two convolutions on the joined features.
        block_channels: of the features that a block of logits is made of.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H, W).
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 16,
        decoder_channels: int = 256,
        block_channels: int = 64,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.decoder = nn.Sequential(
            _Fusion(self.encoder.out_channels[2:], decoder_channels),
            nn.Conv2d(decoder_channels, block_channels, 1),
            _DataDependentUpsampling(block_channels, classes, encoder_output_stride),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[2:])


class _Fusion(nn.Module):
    """Features of all sizes joined at the smallest."""

    def __init__(self, channels: list[int], outputs: int, reduced: int = 48):
        super().__init__()
        self.reduce = nn.ModuleList(conv_norm(inputs, reduced, 1) for inputs in channels[:-1])
        self.fuse = nn.Sequential(
            conv_norm(channels[-1] + reduced * len(self.reduce), outputs), conv_norm(outputs, outputs)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        *larger, last = features
        reduced = [layer(resize(each, last)) for layer, each in zip(self.reduce, larger, strict=True)]
        return self.fuse(torch.cat([last, *reduced], 1))


class _DataDependentUpsampling(nn.Module):
    """A block of logits for every pixel, divided by a temperature that is learned."""

    def __init__(self, inputs: int, classes: int, side: int):
        super().__init__()
        self.side = side
        self.linear = nn.Conv2d(inputs, classes * side * side, 1, bias=False)
        self.log_temperature = nn.Parameter(torch.zeros(1))  # a temperature itself could fall below 0

    def forward(self, features: Tensor) -> Tensor:
        return pixel_shuffle(self.linear(features), self.side) * torch.exp(-self.log_temperature)
