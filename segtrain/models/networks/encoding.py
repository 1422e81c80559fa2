"""Context encoding, the head of EncNet, which FastFCN can have too.

Zhang et al. 2018, https://arxiv.org/abs/1803.08904; encnet.py says where it differs from the paper.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import conv_norm


class EncodingHead(nn.Module):
    """Logits of features, whose channels are weighed by an encoding of all pixels.

    `reduced` makes the `channels` features from those of an encoder.
    """

    def __init__(self, reduced: nn.Module, channels: int, classes: int, *, codewords: int = 32, dropout: float = 0.1):
        super().__init__()
        self.reduced = reduced
        self.encoding = nn.Sequential(conv_norm(channels, channels, 1), _Encoding(channels, codewords))
        self.norm = nn.Sequential(nn.BatchNorm1d(codewords), nn.ReLU())
        self.gate = nn.Sequential(nn.Linear(channels, channels), nn.Sigmoid())
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes, h, w), and the encoding (N, channels)."""
        features = self.reduced(features)
        encoded = self.norm(self.encoding(features)).mean(1)
        gate = self.gate(encoded)[..., None, None]
        return self.classify(features + features * gate), encoded


class _Encoding(nn.Module):
    """The mean residuals of pixels to codewords, (N, codewords, C), each weighed by a softmax over the codewords of
    its squared length times the smoothing factor of the codeword (section 3 of the paper).

    No residual is made: products with the codewords and squared lengths give all of them.
    """

    def __init__(self, channels: int, codewords: int):
        super().__init__()
        bound = (channels * codewords) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-bound, bound))
        self.smoothing = nn.Parameter(torch.rand(codewords))

    def forward(self, features: Tensor) -> Tensor:
        # Squared lengths of hundreds of channels, and sums over all pixels, are beyond the precision of halves.
        with torch.autocast(features.device.type, enabled=False):
            pixels = features.flatten(2).float()  # (N, C, P)
            codewords, smoothing = self.codewords.float(), self.smoothing.float()
            squares = pixels.square().sum(1, keepdim=True) + codewords.square().sum(1)[:, None]
            distances = squares - 2 * (codewords @ pixels)  # (N, codewords, P)
            shares = (-smoothing[:, None] * distances).softmax(1)
            nearby = shares @ pixels.transpose(1, 2) / shares.shape[2]
            encoded = nearby - shares.mean(2, keepdim=True) * codewords
        return encoded.to(features.dtype)
