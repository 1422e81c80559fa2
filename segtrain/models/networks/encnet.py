"""EncNet: context encoding, which weighs the channels of all pixels by what the scene is.

Zhang et al. 2018, "Context Encoding for Semantic Segmentation", https://arxiv.org/abs/1803.08904. As in the authors'
code, and unlike the paper, a gate is added to the features that it weighs, and encoded codewords are averaged, not
summed. Unlike both, residuals are averaged over the pixels, not summed: the encoding of a crop and of a whole image is
then of one size, where running statistics would fit the one alone. The FCN head on earlier features that the authors'
code has is the auxiliary head that every network can have.
"""

from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm
from segtrain.models.networks.encoding import EncodingHead


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
