"""FastFCN: joint pyramid upsampling, which makes of an undilated encoder's features those of a dilated one.

Wu et al. 2019, "FastFCN: Rethinking Dilated Convolution in the Backbone for Semantic Segmentation",
https://arxiv.org/abs/1903.11816. The heads are an FCN's, and EncNet's without its SE branch.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize
from segtrain.models.networks.encoding import EncodingHead


class FastFCN(nn.Module):
    """The last three features of an encoder, joined at 1/8 of the size, and a head.

    Args:
        decoder_channels: of each of the parts that are joined, and of the head.
        head: fcn or enc.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: the head is unknown.
    """

    logits_stride = 8

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        decoder_channels: int = 512,
        decoder_dropout: float = 0.1,
        head: str = "fcn",
    ):
        super().__init__()
        if head not in ("fcn", "enc"):
            raise ValueError(f"head is {head!r}, but must be fcn or enc")
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels)
        joined = 4 * decoder_channels
        self.decoder = nn.ModuleDict({"join": _JointUpsampling(self.encoder.out_channels[-3:], decoder_channels)})
        if head == "enc":
            reduced = conv_norm(joined, decoder_channels, 1)
            self.decoder["head"] = EncodingHead(reduced, decoder_channels, classes, dropout=decoder_dropout)
        else:
            self.decoder["head"] = nn.Sequential(
                conv_norm(joined, decoder_channels),
                nn.Dropout2d(decoder_dropout),
                nn.Conv2d(decoder_channels, classes, 1),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        logits = self.decoder["head"](self.decoder["join"](self.encoder(images)[-3:]))
        return logits if isinstance(logits, Tensor) else logits[0]


class _JointUpsampling(nn.Module):
    """Features at 1/8, 1/16 and 1/32 to 4 `width` channels at 1/8: seen at four rates."""

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        self.inputs = nn.ModuleList(conv_norm(each, width) for each in channels)
        joined = width * len(channels)
        self.rates = nn.ModuleList(
            nn.Sequential(
                conv_norm(joined, joined, activation=False, dilation=rate, groups=joined), conv_norm(joined, width, 1)
            )
            for rate in (1, 2, 4, 8)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        first, *others = (conv(each) for conv, each in zip(self.inputs, features, strict=True))
        joined = torch.cat([first, *(resize(each, first) for each in others)], 1)
        return torch.cat([seen(joined) for seen in self.rates], 1)
