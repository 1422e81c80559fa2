"""Fully convolutional network on a dilated encoder, as torchvision has it.

Long et al. 2015, https://arxiv.org/abs/1411.4038, in the form of torchvision's fcn_resnet50: two convolutions on
features at 1/8, without the paper's skips (those are FCN32s, FCN16s and FCN8s).
"""

from torch import Tensor, nn

from segtrain.models.networks.blocks import build_encoder, conv_norm


class FCN(nn.Module):
    """Two convolutions on the last features of a dilated encoder.

    Args:
        decoder_channels: of the hidden convolution; a quarter of the encoder's where it is not given.
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
        channels = self.encoder.out_channels[-1]
        hidden = decoder_channels or channels // 4
        self.decoder = nn.Sequential(
            conv_norm(channels, hidden), nn.Dropout(decoder_dropout), nn.Conv2d(hidden, classes, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])
