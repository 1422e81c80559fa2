"""Lite R-ASPP on any encoder: the decoder of MobileNetV3.

Howard et al. 2019, https://arxiv.org/abs/1905.02244, in the form of torchvision's lraspp_mobilenet_v3_large. Its
pooling is over the whole image, as the paper's of 49 x 49 is over crops of 769 pixels. With tu-mobilenetv3_large_100 it
has torchvision's parameters, and three differences: the features at 1/8 are those of the last block there, where
torchvision takes the first; the depthwise convolution whose stride is taken out is not dilated; and norms have an
epsilon of 0.00001, not 0.001.
"""

from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize


class _Decoder(nn.Module):
    """Scores of coarse features, weighted by what their mean says about each channel, and of fine ones."""

    def __init__(self, low: int, high: int, channels: int, classes: int):
        super().__init__()
        self.project = conv_norm(high, channels, 1)
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(high, channels, 1, bias=False), nn.Sigmoid())
        self.low_score = nn.Conv2d(low, classes, 1)
        self.high_score = nn.Conv2d(channels, classes, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        context = resize(self.project(high) * self.scale(high), low)
        return self.low_score(low) + self.high_score(context)


class LRASPP(nn.Module):
    """Scores of an encoder's last features, and of those at 1/8.

    Args:
        encoder_output_stride: 16, 8, or 32 for an encoder that cannot be dilated.
        decoder_channels: of the coarse features before their scores.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: the encoder cannot be dilated.
    """

    logits_stride = 8

    def __init__(
        self,
        encoder_name: str = "tu-mobilenetv3_large_100",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 16,
        decoder_channels: int = 128,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        low, *_, high = self.encoder.out_channels[3:]
        self.decoder = _Decoder(low, high, decoder_channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        low, *_, high = self.encoder(images)[3:]
        return self.decoder(low, high)
