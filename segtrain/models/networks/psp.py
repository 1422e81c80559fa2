"""Pyramid scene parsing network on a dilated encoder, as in the paper.

Zhao et al. 2017, https://arxiv.org/abs/1612.01105. smp's PSPNet is another network: it takes the first half of an
encoder. With densenet201 it is what is known as PSPDenseNet.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize


class _PyramidPooling(nn.Module):
    """The features, and behind them their means over cells of 1, 2, 3 and 6 a side, a quarter of the channels each."""

    def __init__(self, channels: int):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), conv_norm(channels, channels // 4, 1)) for cells in (1, 2, 3, 6)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, *(resize(level(features), features) for level in self.levels)], dim=1)


class DilatedPSPNet(nn.Module):
    """Means over cells of four sizes, beside the last features of a dilated encoder.

    Args:
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated.
        decoder_channels: of the convolution that joins the features and the means.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / encoder_output_stride, W / encoder_output_stride).

    Raises:
        ValueError: the encoder cannot be dilated.
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        decoder_channels: int = 512,
        decoder_dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        channels = self.encoder.out_channels[-1]
        self.decoder = nn.Sequential(
            _PyramidPooling(channels),
            conv_norm(channels + channels // 4 * 4, decoder_channels),
            nn.Dropout(decoder_dropout),
            nn.Conv2d(decoder_channels, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])
