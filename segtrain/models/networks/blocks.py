"""Building blocks of networks: encoders, dilated or not, convolutions with their norm, changes of size."""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.encoder import any_size, correct_rates
from segtrain.models.networks.dilated_densenet import dilate_densenet, is_densenet


def build_encoder(
    name: str, weights: str | bool | None, in_channels: int, *, depth: int = 5, output_stride: int = 32
) -> nn.Module:
    """An encoder of smp or timm, whose forward gives a list: the images, then features at 1/2, 1/4, .. of their size.

    `out_channels` has the channels of each; a transformer has 0 of them at 1/2. With an `output_stride` of 8 or 16 the
    stages behind it keep their size, and their convolutions are dilated. Raises ValueError where an encoder cannot be.
    """
    options = {"in_channels": in_channels, "depth": depth, "weights": weights} | any_size(name)
    if output_stride == 32:
        return smp.encoders.get_encoder(name, **options)
    if output_stride not in (8, 16):
        raise ValueError(f"encoder_output_stride is {output_stride}, but must be 8, 16 or 32")
    if is_densenet(name):
        return dilate_densenet(smp.encoders.get_encoder(name, **options), output_stride)
    try:
        encoder = smp.encoders.get_encoder(name, output_stride=output_stride, **options)
    except (TypeError, ValueError, NotImplementedError, AssertionError, AttributeError, RuntimeError) as error:
        reason = f"cannot be dilated to output stride {output_stride}; write model.encoder_output_stride: 32"
        raise ValueError(f"{name} {reason}") from error
    if not name.startswith("tu-"):
        correct_rates(encoder, name)
    return encoder


def conv_norm(
    inputs: int, outputs: int, kernel_size: int | tuple[int, int] = 3, *, activation: bool | nn.Module = True, **options
) -> nn.Sequential:
    """A convolution without bias that keeps the size (with a stride: divides it), BatchNorm, and ReLU or another
    activation; `options` are those of Conv2d."""
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    rates = options.get("dilation", 1)
    rates = (rates, rates) if isinstance(rates, int) else rates
    options.setdefault("padding", tuple(rate * (side // 2) for rate, side in zip(rates, sides, strict=True)))
    layers = [nn.Conv2d(inputs, outputs, kernel_size, bias=False, **options), nn.BatchNorm2d(outputs)]
    if activation:
        layers.append(nn.ReLU(inplace=True) if activation is True else activation)
    return nn.Sequential(*layers)


def conv_norm_prelu(inputs: int, outputs: int, kernel_size: int, **options: int) -> nn.Sequential:
    """conv_norm with PReLU, a slope for each channel."""
    return conv_norm(inputs, outputs, kernel_size, activation=nn.PReLU(outputs), **options)


def norm_prelu(channels: int) -> nn.Sequential:
    """BatchNorm and PReLU, a slope for each channel."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


class AttentionRefinement(nn.Module):
    """A convolution, whose channels are weighed by their means (Yu et al. 2018, "BiSeNet", figure 2b)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = conv_norm(inputs, outputs)
        self.weights = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(outputs, outputs, 1, activation=nn.Sigmoid()))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, outputs, h, w) of features (N, inputs, h, w)."""
        features = self.convolution(features)
        return features * self.weights(features)


def resize(features: Tensor, like: Tensor | tuple[int, int]) -> Tensor:
    """Features (N, C, h, w) at the height and width of others, bilinearly, corners not aligned."""
    size = like.shape[-2:] if isinstance(like, Tensor) else like
    return functional.interpolate(features, size, mode="bilinear", align_corners=False)


class LearnedUpsampling(nn.ConvTranspose2d):
    """Features (N, C, h, w) at twice the height and width, by weights that begin as bilinear ones."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 4, stride=2, padding=1, bias=False)

    def reset_parameters(self) -> None:
        """Bilinear interpolation of each channel by itself."""
        side = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.weight.copy_(torch.eye(self.in_channels)[:, :, None, None] * side[:, None] * side)
