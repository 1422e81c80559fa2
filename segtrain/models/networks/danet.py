"""Dual attention network: attention among positions, and attention among channels.

Fu et al. 2019, https://arxiv.org/abs/1809.02983. The paper's softmax over channels prefers those that are alike; the
authors' code, which their results come from, prefers those that are not, and so does this.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from segtrain.models.networks.blocks import build_encoder, conv_norm


class DANet(nn.Module):
    """Two branches on the last features of a dilated encoder, each with an attention of its own, and their sum.

    In training, `aux` gives logits of each branch as well.

    Args:
        decoder_channels: of both branches; a quarter of the encoder's where it is not given.
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
        decoder_dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        inputs = self.encoder.out_channels[-1]
        channels = decoder_channels or inputs // 4
        position, channel, fused = (
            nn.Sequential(nn.Dropout2d(decoder_dropout), nn.Conv2d(channels, classes, 1)) for _ in range(3)
        )
        self.decoder = nn.ModuleDict(
            {
                "position": _branch(inputs, channels, _PositionAttention(channels)),
                "channel": _branch(inputs, channels, _ChannelAttention()),
                "head": fused,
            }
        )
        self.aux: nn.Module | None = nn.ModuleList([position, channel])

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Logits; with `aux` in training, a list of these and of the logits of both branches."""
        features = self.encoder(images)[-1]
        branches = [self.decoder["position"](features), self.decoder["channel"](features)]
        logits = self.decoder["head"](branches[0] + branches[1])
        if not self.training or self.aux is None:
            return logits
        return [logits, *(head(branch) for head, branch in zip(self.aux, branches, strict=True))]


def _branch(inputs: int, channels: int, attention: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, channels), attention, conv_norm(channels, channels))


class _PositionAttention(nn.Module):
    """Adds to every pixel those that resemble it, wherever they are."""

    def __init__(self, channels: int):
        super().__init__()
        key_channels = max(channels // 8, 1)
        self.query, self.key = nn.Conv2d(channels, key_channels, 1), nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        # One head is named, as fused kernels take four dimensions alone.
        query, key, value = (
            layer(features).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.query, self.key, self.value)
        )
        attended = scaled_dot_product_attention(query, key, value, scale=1.0).squeeze(1).transpose(1, 2)
        return features + self.gamma * attended.unflatten(2, features.shape[-2:])


class _ChannelAttention(nn.Module):
    """Adds to every channel those that it is least like."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        # A sum over all pixels is too large for half precision.
        channels = features.flatten(2).unsqueeze(1).float()
        attended = scaled_dot_product_attention(-channels, channels, channels, scale=1.0).squeeze(1)
        return features + self.gamma * attended.unflatten(2, features.shape[-2:]).to(features.dtype)
