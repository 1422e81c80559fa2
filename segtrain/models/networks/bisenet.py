"""BiSeNet: a spatial path of three strided convolutions beside a context path, an encoder.

Yu et al. 2018, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation",
https://arxiv.org/abs/1808.00897. Widths are those of the authors' code, where the paper has none. A common copy has a
last 3x3 convolution four times as wide, another 3.7 G multiply-adds at 512 x 1024.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import AttentionRefinement, build_encoder, conv_norm, resize


class BiSeNet(nn.Module):
    """An encoder's last two features, refined and enlarged, fused with shallow ones at 1/8.

    Args:
        decoder_channels: of each of the two paths; the spatial path is half as wide up to its last layer, and what is
            fused is twice as wide.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / 8, W / 8).
        - auxiliary logits, in training: (N, classes, H / 8, W / 8) and (N, classes, H / 16, W / 16), of the context
          path.
    """

    logits_stride = 8

    def __init__(
        self,
        encoder_name: str = "resnet18",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        decoder_channels: int = 128,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels)
        width = decoder_channels
        self.decoder = nn.ModuleDict(
            {
                "spatial": _spatial_path(in_channels, width),
                "context": _ContextPath(self.encoder.out_channels[-2:], width),
                "fusion": _Fusion(2 * width),
                "head": _head(2 * width, width // 2, classes),
            }
        )
        self.aux: nn.Module | None = nn.ModuleList(_head(width, 2 * width, classes) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Logits, see the class."""
        spatial = self.decoder["spatial"](images)
        context = self.decoder["context"](self.encoder(images)[-2:], spatial)
        fused = self.decoder["fusion"](torch.cat([spatial, context[0]], 1))
        logits = self.decoder["head"](fused)
        if self.training and self.aux is not None:
            return [logits, *(head(features) for head, features in zip(self.aux, context, strict=True))]
        return logits


def _spatial_path(in_channels: int, width: int) -> nn.Sequential:
    half = width // 2
    return nn.Sequential(
        conv_norm(in_channels, half, 7, stride=2),
        conv_norm(half, half, stride=2),
        conv_norm(half, half, stride=2),
        conv_norm(half, width, 1),
    )


def _head(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, hidden), nn.Conv2d(hidden, classes, 1))


class _ContextPath(nn.Module):
    """Features at 1/16 and 1/32, refined, with the mean of the last ones, to features at 1/8 and 1/16."""

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(channels[1], width, 1))
        self.attention16 = AttentionRefinement(channels[0], width)
        self.attention32 = AttentionRefinement(channels[1], width)
        self.refine16, self.refine32 = conv_norm(width, width), conv_norm(width, width)

    def forward(self, features: list[Tensor], eighth: Tensor) -> tuple[Tensor, Tensor]:
        features16, features32 = features
        context = self.attention32(features32) + self.mean(features32)
        refined16 = self.refine32(resize(context, features16))
        context = self.attention16(features16) + refined16
        return self.refine16(resize(context, eighth)), refined16


class _Fusion(nn.Module):
    """Feature fusion module: a convolution, and its channels again, weighed by their means (figure 2c)."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = conv_norm(channels, channels, 1)
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.convolution(features)
        return features + features * self.weights(features)
