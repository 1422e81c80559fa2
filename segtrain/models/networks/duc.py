"""DUC-HDC: dense upsampling convolution on an encoder with hybrid dilated convolutions.

Wang et al. 2018, "Understanding Convolution for Semantic Segmentation", https://arxiv.org/abs/1702.08502. The logits of
all pixels of a cell are channels of one convolution at 1/8. As in the paper that convolution is DeepLabV2's, four at
different rates, whose results are added; common copies put the upsampling into DeepLabV3+ instead. Weights start equal
for all pixels of a cell, so that there is no checkerboard (Aitken et al. 2017, https://arxiv.org/abs/1707.02937).
"""

from itertools import cycle

from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import build_encoder

# Of the blocks of the last two stages, in turn (the paper's "Dilation-bigger"): rates without a common factor leave
# no gaps between the pixels that are seen.
HYBRID_RATES = {"layer3": (1, 2, 5, 9), "layer4": (5, 9, 17)}


class DUC(nn.Module):
    """Convolutions whose channels are the pixels of a cell, on the last features of a dilated encoder.

    Args:
        encoder_output_stride: 8, 16, or 32 for an encoder that cannot be dilated; also the side of a cell.
        decoder_atrous_rates: one convolution for each.
        hybrid_dilation: at output stride 8, the blocks of a ResNet have the paper's rates in turn. Any other encoder
            needs false: plain dilation, as at other strides.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H, W).

    Raises:
        ValueError: hybrid_dilation is on and the encoder is not a ResNet.
    """

    def __init__(
        self,
        encoder_name: str = "resnet101",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        decoder_atrous_rates: tuple[int, ...] = (6, 12, 18, 24),
        hybrid_dilation: bool = True,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        if hybrid_dilation and encoder_output_stride == 8:
            _dilate_in_turn(self.encoder, encoder_name)
        channels = self.encoder.out_channels[-1]
        self.decoder = _DenseUpsampling(channels, classes, encoder_output_stride, decoder_atrous_rates)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[-1])


def _dilate_in_turn(encoder: nn.Module, name: str) -> None:
    stages = getattr(encoder, "model", encoder)  # timm's lies within smp's
    if not all(hasattr(stages, stage) for stage in HYBRID_RATES):
        raise ValueError(f"hybrid dilation needs a ResNet, and {name} is not one; write model.hybrid_dilation: false")
    for stage, rates in HYBRID_RATES.items():
        for block, rate in zip(getattr(stages, stage), cycle(rates), strict=False):
            for conv in block.modules():
                if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
                    conv.dilation = (rate, rate)
                    conv.padding = tuple(rate * (side // 2) for side in conv.kernel_size)


class _DenseUpsampling(nn.Module):
    """The sum of convolutions at several rates, each of whose results has the pixels of a cell as channels."""

    def __init__(self, channels: int, classes: int, side: int, rates: tuple[int, ...]):
        super().__init__()
        self.side = side
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, classes * side**2, 3, padding=rate, dilation=rate) for rate in rates
        )
        for conv in self.convolutions:
            for parameter in conv.parameters():
                # The pixels of a cell are the channels that follow each other.
                parameter.data = parameter.data[:: side**2].repeat_interleave(side**2, 0)

    def forward(self, features: Tensor) -> Tensor:
        return functional.pixel_shuffle(sum(conv(features) for conv in self.convolutions), self.side)
