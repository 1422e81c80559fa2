"""Densely connected atrous spatial pyramid pooling on a dilated encoder.

Yang et al. 2018, https://doi.org/10.1109/CVPR.2018.00388. As in the authors' code, norm and activation stand in front
of each convolution, and the encoder's channels are halved first; common copies have them behind it, and halve nothing.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder


class DenseASPP(nn.Module):
    """Dilated convolutions in a row on the last features of a dilated encoder, each of which sees all before it.

    Args:
        decoder_channels: of the 1x1 convolution in front of each dilated one; where it is not given, an eighth of the
            encoder's, as in the authors' code for DenseNet-121.
        growth: channels that each dilated convolution adds; a sixteenth of the encoder's where it is not given.
        decoder_atrous_rates: the dilations.
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / encoder_output_stride, W / encoder_output_stride).
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        decoder_channels: int | None = None,
        growth: int | None = None,
        decoder_atrous_rates: tuple[int, ...] = (3, 6, 12, 18, 24),
        decoder_dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        inputs = self.encoder.out_channels[-1]
        hidden, growth = decoder_channels or inputs // 8, growth or inputs // 16
        channels = inputs // 2
        # The transition of a DenseNet, whose encoder ends with the norm that belongs in front.
        layers: list[nn.Module] = [
            nn.ReLU(),
            nn.Conv2d(inputs, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        for index, rate in enumerate(decoder_atrous_rates):
            layers.append(_DenseLayer(channels, hidden, growth, rate, decoder_dropout, norm=index > 0))
            channels += growth
        self.decoder = nn.Sequential(*layers, nn.Dropout2d(decoder_dropout), nn.Conv2d(channels, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])


class _DenseLayer(nn.Module):
    """Joins to its features what a dilated convolution makes of them."""

    def __init__(self, inputs: int, hidden: int, growth: int, rate: int, dropout: float, *, norm: bool):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, growth, 3, dilation=rate, padding=rate),
            nn.Dropout2d(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.layers(features), features], 1)
