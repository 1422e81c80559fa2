"""Object context network: every pixel gathers the pixels of its object by self-attention.

Yuan et al. 2018, https://arxiv.org/abs/1809.00916, in the three forms of its first version. The authors' code gives the
last row and column of blocks what a division leaves over; here, images are padded so that nothing is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, scaled_dot_product_attention

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize

_PARTITIONS = {"base": (1,), "pyramid": (1, 2, 3, 6), "asp": (2,)}  # of which the sides must be multiples


class OCNet(nn.Module):
    """Self-attention on the last features of a dilated encoder.

    Args:
        module: base, attention over the whole image; pyramid, attention within the blocks of 1, 2, 3 and 6 rows and
            columns of them; or asp, attention at half the size, beside convolutions of three dilations.
        decoder_channels: of the features that attend.
        decoder_atrous_rates: the dilations of asp.
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / encoder_output_stride, W / encoder_output_stride).

    Raises:
        ValueError: the module is unknown.
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        module: str = "base",
        encoder_output_stride: int = 8,
        decoder_channels: int = 512,
        decoder_atrous_rates: tuple[int, int, int] = (12, 24, 36),
        decoder_dropout: float = 0.05,
    ):
        super().__init__()
        if module not in _PARTITIONS:
            raise ValueError(f"module is {module!r}, but must be one of {', '.join(_PARTITIONS)}")
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        self.stride = encoder_output_stride * math.lcm(*_PARTITIONS[module])
        channels, is_dilated = decoder_channels, module == "asp"
        self.decoder = nn.Sequential(
            conv_norm(self.encoder.out_channels[-1], channels),
            _DilatedContext(channels, decoder_atrous_rates) if is_dilated else _Context(channels, _PARTITIONS[module]),
            nn.Dropout2d(decoder_dropout),
            nn.Conv2d(channels, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])


class _SelfAttention(nn.Module):
    """What the pixels of each of parts x parts blocks say to one another, 0 at first."""

    def __init__(self, channels: int, value_channels: int, parts: int = 1):
        super().__init__()
        self.parts = parts
        self.key = conv_norm(channels, channels // 2, 1)  # the query, too
        self.value = nn.Conv2d(channels, value_channels, 1)
        self.project = nn.Conv2d(value_channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        size = (self.parts, height // self.parts, self.parts, width // self.parts)
        key, value = self._split(self.key(features), size), self._split(self.value(features), size)
        attended = scaled_dot_product_attention(key, key, value)
        # Contiguous: else what torch.export traces from two images refuses one.
        blocks = attended.unflatten(2, (size[1], size[3])).unflatten(1, (self.parts, self.parts))
        return self.project(blocks.permute(0, 5, 1, 3, 2, 4).contiguous().flatten(4, 5).flatten(2, 3))

    def _split(self, features: Tensor, size: tuple[int, ...]) -> Tensor:
        """(N, C, H, W) as (N, blocks, pixels of one, C)."""
        blocks = features.unflatten(3, size[2:]).unflatten(2, size[:2])
        return blocks.permute(0, 2, 4, 3, 5, 1).contiguous().flatten(3, 4).flatten(1, 2)


class _Context(nn.Module):
    """Features beside what attention makes of them, in one or several partitions."""

    def __init__(self, channels: int, partitions: tuple[int, ...]):
        super().__init__()
        count = len(partitions)
        value_channels = channels // 2 if count == 1 else channels
        self.attentions = nn.ModuleList(_SelfAttention(channels, value_channels, parts) for parts in partitions)
        # So that the features weigh as much as all that is joined to them.
        self.widen = nn.Identity() if count == 1 else conv_norm(channels, channels * count, 1)
        self.fuse = conv_norm(2 * count * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        attended = [attention(features) for attention in self.attentions]
        return self.fuse(torch.cat([self.widen(features), *attended], 1))


class _DilatedContext(nn.Module):
    """ASPP, with self-attention at half the size instead of pooling, on half the channels."""

    def __init__(self, channels: int, rates: tuple[int, ...]):
        super().__init__()
        half = channels // 2
        self.reduce, self.attention = conv_norm(channels, half), _SelfAttention(half, half)
        self.norm = conv_norm(half, half, 1)
        self.convs = nn.ModuleList(
            [conv_norm(channels, half, 1), *(conv_norm(channels, half, dilation=rate) for rate in rates)]
        )
        self.fuse = conv_norm((2 + len(rates)) * half, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        context = resize(self.attention(max_pool2d(self.reduce(features), 2)), features)
        return self.fuse(torch.cat([self.norm(context), *(conv(features) for conv in self.convs)], 1))
