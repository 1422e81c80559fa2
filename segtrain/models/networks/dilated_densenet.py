"""Dilated DenseNets: those of smp and timm at output stride 8 or 16, which neither library can give.

Huang et al. 2017, https://arxiv.org/abs/1608.06993, have a pooling in each transition between two blocks. Common copies
of dilated DenseNets leave it out. Here it stays, without its stride, so that pretrained weights see what they were
trained with: the features are those of the undilated network at every second (fourth) pixel.
"""

import re

from torch import Tensor, nn
from torch.nn import functional


class _DilatedMean(nn.Module):
    """Mean of the 2 x 2 pixels that lie `rate` apart, at every pixel; of those at the border repeated behind it."""

    def __init__(self, rate: int):
        super().__init__()
        self.rate = rate

    def forward(self, features: Tensor) -> Tensor:
        rate = self.rate
        padded = functional.pad(features, (0, rate, 0, rate), mode="replicate")
        rows = padded[..., :-rate, :] + padded[..., rate:, :]
        return (rows[..., :-rate] + rows[..., rate:]) / 4


def is_densenet(name: str) -> bool:
    """Whether an encoder of this name, of smp or timm, is a DenseNet."""
    return name.removeprefix("tu-").startswith("densenet")


def dilate_densenet(encoder: nn.Module, output_stride: int) -> nn.Module:
    """Make a DenseNet encoder keep its features at 1/8 or 1/16 of the size of the images, in place.

    Transitions behind that lose their stride, and 3 x 3 convolutions behind those are dilated.
    """
    for name, module in encoder.named_modules():
        if found := re.search(r"(denseblock|transition)(\d)$", name):
            rate = 2 ** (int(found[2]) + 1) // output_stride  # 1 where the features are at 1/output_stride
            if found[1] == "transition" and rate >= 1:
                module.pool = _DilatedMean(rate)
            elif rate > 1:
                for conv in module.modules():
                    if getattr(conv, "kernel_size", None) == (3, 3):
                        conv.dilation = conv.padding = (rate, rate)
    encoder._output_stride = output_stride
    return encoder
