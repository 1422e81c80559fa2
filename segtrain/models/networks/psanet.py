"""Point-wise spatial attention network: each pixel predicts where to look.

Zhao et al. 2018, https://doi.org/10.1007/978-3-030-01240-3_17. The paper predicts, for features of H x W, maps of
(2H - 1) x (2W - 1) offsets, which fixes the size of images. Here, features of any size are resized to a square grid,
for which the maps are predicted, and what was gathered there is resized back: a cell covers more of a larger image.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize


class PSANet(nn.Module):
    """Attention on the last features of a dilated encoder, in two branches: in one, each position says which others it
    collects; in the other, to which others it is distributed.

    Args:
        mask_size: rows and columns of the grid. 30, that of the authors' code, is for crops of about 480 pixels: half
            the size of the features at 1/8.
        decoder_channels: of the features in both branches, and in front of the classifier.
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / encoder_output_stride, W / encoder_output_stride).

    Raises:
        ValueError: mask_size is less than 1.
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        mask_size: int = 30,
        decoder_channels: int = 512,
        decoder_dropout: float = 0.1,
    ):
        super().__init__()
        if mask_size < 1:
            raise ValueError(f"mask_size is {mask_size}, but must be 1 or more")
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        channels = self.encoder.out_channels[-1]
        self.decoder = nn.Sequential(
            _PointwiseSpatialAttention(channels, decoder_channels, mask_size),
            conv_norm(2 * channels, decoder_channels),
            nn.Dropout2d(decoder_dropout),
            nn.Conv2d(decoder_channels, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])


class _PointwiseSpatialAttention(nn.Module):
    """Features, and behind them as many channels that both branches have gathered."""

    def __init__(self, channels: int, hidden: int, mask_size: int):
        super().__init__()
        self.collect = _Branch(channels, hidden, mask_size, distributes=False)
        self.distribute = _Branch(channels, hidden, mask_size, distributes=True)
        self.project = conv_norm(2 * hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        gathered = self.project(torch.cat([self.collect(features), self.distribute(features)], 1))
        return torch.cat([features, resize(gathered, features)], 1)


class _Branch(nn.Module):
    """What each position of the grid gets from all positions."""

    def __init__(self, channels: int, hidden: int, mask_size: int, *, distributes: bool):
        super().__init__()
        self.distributes = distributes
        self.size = (mask_size, mask_size)
        side = 2 * mask_size - 1
        self.reduce = conv_norm(channels, hidden, 1)
        self.attention = nn.Sequential(conv_norm(hidden, hidden, 1), nn.Conv2d(hidden, side * side, 1, bias=False))
        steps = torch.arange(mask_size)
        offsets = steps - steps.unsqueeze(1) + mask_size - 1  # of a column from a row of the grid, 0 or more
        index = side * offsets[:, None, :, None] + offsets[None, :, None, :]
        self.register_buffer("index", index.reshape(1, mask_size**2, mask_size**2), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        features = resize(self.reduce(features), self.size)
        maps = self.attention(features).flatten(2).transpose(1, 2)
        scores = maps.gather(2, self.index.expand(maps.shape[0], -1, -1))  # (N, who predicted, about whom)
        weights = scores.softmax(1).transpose(1, 2) if self.distributes else scores.softmax(2)
        gathered = weights @ features.flatten(2).transpose(1, 2)
        return gathered.transpose(1, 2).unflatten(2, self.size)
