"""Fully convolutional networks with skips, on any encoder: FCN-32s, FCN-16s and FCN-8s.

Long et al. 2015, https://arxiv.org/abs/1411.4038. The paper makes its scores from fc6 and fc7 of VGG-16
(`fc_channels: 4096`); common ports make them from one convolution of a quarter of the channels, which is the default
here. As in the paper, scores are upsampled twofold by learned convolutions that start as bilinear interpolation (the
ports only interpolate), and the last upsampling is bilinear and fixed. The paper pads images by 100 pixels, because its
fc6 does not keep the size; here it does.
"""

from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import LearnedUpsampling, build_encoder, conv_norm


class _Skips(nn.Module):
    """Scores of the last features, enlarged and added to those of finer ones."""

    def __init__(self, channels: list[int], classes: int, fc_channels: int, dropout: float):
        super().__init__()
        *finer, last = channels
        self.score = nn.Sequential(
            *(_fully_connected(last, fc_channels, dropout) if fc_channels else _convolution(last, dropout)),
            nn.Conv2d(fc_channels or last // 4, classes, 1),
        )
        self.upsamplings = nn.ModuleList(LearnedUpsampling(classes) for _ in finer)
        self.skips = nn.ModuleList(nn.Conv2d(each, classes, 1) for each in reversed(finer))
        for skip in self.skips:  # a network begins as the one without the skip
            nn.init.zeros_(skip.weight)
            nn.init.zeros_(skip.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        *finer, last = features
        scores = self.score(last)
        for upsampling, skip, each in zip(self.upsamplings, self.skips, reversed(finer), strict=True):
            scores = upsampling(scores) + skip(each)
        return scores


def _fully_connected(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for channels, kernel_size in ((inputs, 7), (outputs, 1)):
        conv = nn.Conv2d(channels, outputs, kernel_size, padding=kernel_size // 2)
        layers += [conv, nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return layers


def _convolution(inputs: int, dropout: float) -> list[nn.Module]:
    return [conv_norm(inputs, inputs // 4), nn.Dropout(dropout)]


class FCN32s(nn.Module):
    """Scores of the last features of an encoder, at 1/32.

    Args:
        fc_channels: of fc6 (7 x 7) and fc7, 4096 in the paper; 0 for one 3 x 3 convolution instead.
        decoder_dropout: behind each of them; 0.5 in the paper.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / logits_stride, W / logits_stride).
    """

    logits_stride = 32

    def __init__(
        self,
        encoder_name: str = "vgg16",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        fc_channels: int = 0,
        decoder_dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels)
        levels = {32: (5,), 16: (4, 5), 8: (3, 4, 5)}[self.logits_stride]
        # VGG's features are those before each pooling, from 1/1 on, and the last ones. The paper takes all behind it.
        self.pooled = self.encoder.out_channels[0] != in_channels
        self.levels = [level - (self.pooled and level < 5) for level in levels]
        channels = [self.encoder.out_channels[level] for level in self.levels]
        self.decoder = _Skips(channels, classes, fc_channels, decoder_dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        features = self.encoder(images)
        *finer, last = (features[level] for level in self.levels)
        if self.pooled:
            finer = [functional.max_pool2d(each, 2) for each in finer]
        return self.decoder([*finer, last])


class FCN16s(FCN32s):
    """FCN32s with the scores of features at 1/16 added; see there."""

    logits_stride = 16


class FCN8s(FCN32s):
    """FCN32s with the scores of features at 1/16 and 1/8 added; see there."""

    logits_stride = 8
