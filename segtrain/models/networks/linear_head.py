"""Linear head on a plain transformer, the linear probe of the DINO papers.

Oquab et al. 2023 (DINOv2), https://arxiv.org/abs/2304.07193, section 7.4: a linear layer on the patch tokens of the
last block, whose logits are enlarged bilinearly; its code has BatchNorm before the layer. With `model.freeze: encoder`
it measures features; without, it is the smallest network for fine-tuning.
"""

from torch import Tensor, nn

from segtrain.models.networks.plain import PlainEncoder


class LinearHead(nn.Module):
    """BatchNorm and a 1x1 convolution on the last features of a plain transformer of timm.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of the transformer's patch.
        - logits: (N, classes, H / patch, W / patch).

    Raises:
        ValueError: the encoder is not a plain transformer of timm.
    """

    def __init__(
        self,
        encoder_name: str = "tu-vit_small_patch14_dinov2",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
    ):
        super().__init__()
        self.encoder = PlainEncoder(encoder_name, encoder_weights, in_channels)
        self.logits_stride = self.encoder.output_stride
        channels = self.encoder.out_channels[-1]
        self.decoder = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])
