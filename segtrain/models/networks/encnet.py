"""EncNet: context encoding, which weighs the channels of all pixels by what the scene is.

Zhang et al. 2018, "Context Encoding for Semantic Segmentation", https://arxiv.org/abs/1803.08904. As in the authors'
code, and unlike the paper, a gate is added to the features that it weighs, and encoded codewords are averaged, not
summed. Unlike both, residuals are averaged over the pixels, not summed: the encoding of a crop and of a whole image is
then of one size, where running statistics would fit the one alone. The FCN head on earlier features that the authors'
code has is the auxiliary head that every network can have.
"""

import torch
from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm


class EncNet(nn.Module):
    """A dilated encoder, whose last features are weighed by their encoding.

    Its further output `presence`, logits of which classes are in the image, is for SELoss; the paper has a coef of 0.2.

    Args:
        decoder_channels: of the features that are encoded.
        codewords: number of codewords.
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / encoder_output_stride, W / encoder_output_stride).
        - presence, in training: (N, classes).
    """

    further_outputs, takes_auxiliary_head = ("presence",), True

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        decoder_channels: int = 512,
        decoder_dropout: float = 0.1,
        codewords: int = 32,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.logits_stride = encoder_output_stride
        reduced = conv_norm(self.encoder.out_channels[-1], decoder_channels)
        self.decoder = EncodingHead(reduced, decoder_channels, classes, codewords=codewords, dropout=decoder_dropout)
        self.aux: nn.Module | None = nn.Linear(decoder_channels, classes)

    def forward(self, images: Tensor) -> Tensor | list[Tensor | dict[str, Tensor]]:
        """Logits, see the class."""
        logits, encoded = self.decoder(self.encoder(images)[-1])
        if self.training and self.aux is not None:
            return [logits, {"presence": self.aux(encoded)}]
        return logits


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
