"""Pointwise convolutions with a stride, kept away from a fault of torch."""

from torch import Tensor, nn
from torch.nn import functional


class _Subsampled(nn.Conv2d):
    """A 1x1 convolution whose stride is taken before it; the same values, the same names of weights."""

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = self.stride
        return functional.conv2d(features[..., ::rows, ::columns], self.weight, self.bias)


def subsample_first(net: nn.Module) -> None:
    """Let 1x1 convolutions with a stride and fewer than 16 input channels take their stride before them, in place.

    torch (2.11 to 2.15, with oneDNN) writes past its memory in their backward pass, in fp32, in channels_last, on a
    CPU with AVX-512: a training crashes, or goes on with numbers that are not its own. The stems of MobileOne, RepVGG
    and FastViT have such a convolution.
    """
    for module in net.modules():
        if type(module) is not nn.Conv2d or module.kernel_size != (1, 1) or module.padding != (0, 0):
            continue
        if module.stride != (1, 1) and module.groups == 1 and module.in_channels < 16:
            module.__class__ = _Subsampled
