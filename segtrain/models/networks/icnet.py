"""ICNet: image cascade network, which sends a quarter-size image through all of an encoder, and larger ones through
less.

Zhao et al. 2018, "ICNet for Real-Time Semantic Segmentation on High-Resolution Images",
https://arxiv.org/abs/1704.08545. Two differences from the paper: the encoder keeps its width, of which the paper
prunes half, and its first stages see the image at a half and at a quarter of its size, where the paper halves the
features of the first. Common copies run all stages at half of the size, and have no 1x1 convolution behind the pooling.
"""

import copy

import torch
from timm.models import FeatureListNet
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import build_encoder, conv_norm, resize


class ICNet(nn.Module):
    """An encoder at a quarter of the size, its first stages at half of it, three convolutions at all of it.

    Args:
        encoder_output_stride: at which the quarter-size image is seen: 8, 16, or 32 for an encoder that cannot be
            dilated.
        decoder_channels: of what is fused.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H / 4, W / 4).
        - auxiliary logits, in training: (N, classes, H / 16, W / 16) and (N, classes, H / 8, W / 8), each compared with
          the mask at its own size; the paper has a factor of 0.4.
    """

    logits_stride = 4
    is_cascade = True

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_output_stride: int = 8,
        decoder_channels: int = 128,
    ):
        super().__init__()
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels, output_stride=encoder_output_stride)
        self.stride = 4 * encoder_output_stride
        channels, width = self.encoder.out_channels, decoder_channels
        self.decoder = nn.ModuleDict(
            {
                "detail": nn.Sequential(
                    conv_norm(in_channels, 32, stride=2), conv_norm(32, 32, stride=2), conv_norm(32, 64, stride=2)
                ),
                "pooling": _SummedPooling(channels[-1], 2 * width),
                "fuse16": _CascadeFusion(2 * width, channels[3], width),
                "fuse8": _CascadeFusion(width, 64, width),
                "classify": nn.Conv2d(width, classes, 1),
            }
        )
        self.aux: nn.Module | None = nn.ModuleList(nn.Conv2d(inputs, classes, 1) for inputs in (2 * width, width))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Logits, see the class."""
        half = functional.avg_pool2d(images, 2)
        features16 = _view_eighth(self.encoder)(half)[3]
        features = self.decoder["pooling"](self.encoder(functional.avg_pool2d(half, 2))[-1])
        fused16, larger16 = self.decoder["fuse16"](features, features16)
        fused8, larger8 = self.decoder["fuse8"](fused16, self.decoder["detail"](images))
        # A 1x1 convolution before the enlargement, not behind it: the same at a quarter of the work.
        logits = functional.interpolate(
            self.decoder["classify"](fused8), scale_factor=2, mode="bilinear", align_corners=False
        )
        if self.training and self.aux is not None:
            return [logits, *(head(larger) for head, larger in zip(self.aux, (larger16, larger8), strict=True))]
        return logits


def _view_eighth(encoder: nn.Module) -> nn.Module:
    """The same encoder, which stops behind its features at 1/8 where it can; nothing is copied."""
    view = copy.copy(encoder)
    view._depth = 3  # as smp's own encoders look it up
    if isinstance(timm_model := getattr(encoder, "model", None), FeatureListNet):
        names = [*timm_model]
        kept = names[: names.index([*timm_model.return_layers][-3]) + 1]
        stages = copy.copy(timm_model)
        stages._modules = {name: timm_model[name] for name in kept}
        view._modules = {"model": stages}
    return view


class _SummedPooling(nn.Module):
    """Pyramid pooling whose levels are added to the features, and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(cells) for cells in (1, 2, 3, 6))
        self.reduce = conv_norm(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        for level in [resize(pool(features), features) for pool in self.pools]:
            features = features + level
        return self.reduce(features)


class _CascadeFusion(nn.Module):
    """Cascade feature fusion: features of two sizes, added at the larger one (figure 3)."""

    def __init__(self, small: int, large: int, outputs: int):
        super().__init__()
        self.small = conv_norm(small, outputs, activation=False, dilation=2)
        self.large = conv_norm(large, outputs, 1, activation=False)

    def forward(self, small: Tensor, large: Tensor) -> tuple[Tensor, Tensor]:
        """Fused features, and the small ones at the size of the large ones."""
        larger = resize(small, large)
        return torch.relu(self.small(larger) + self.large(large)), larger
