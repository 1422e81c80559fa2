"""Layers that look at the size of what they are given, as operations that leave the size open.

Exporters unroll such layers for the size that they are shown, or take very long over them.
"""

import copy
from collections.abc import Callable

import torch
from timm.layers import AvgPool2dSame, Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import Tensor, nn


class MatrixPool(nn.Module):
    """nn.AdaptiveAvgPool2d as two products of matrices.

    Cell i of n takes the pixels from floor(i side / n) to ceil((i + 1) side / n), as torch has it.
    """

    def __init__(self, output_size: tuple[int, int]):
        super().__init__()
        self.output_size = output_size

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to their means (N, C, *output_size)."""
        rows = _shares(features.shape[2], self.output_size[0], features)
        columns = _shares(features.shape[3], self.output_size[1], features)
        return rows @ features @ columns.T


def _shares(side: int, cells: int, like: Tensor) -> Tensor:
    """What each pixel of a side gives to each cell, (cells, side), in the type of `like`."""
    cell = torch.arange(cells, device=like.device)[:, None]
    pixel = torch.arange(side, device=like.device)[None]
    start, end = cell * side // cells, ((cell + 1) * side + cells - 1) // cells
    inside = ((pixel >= start) & (pixel < end)).to(like.dtype)
    return inside / (end - start).to(like.dtype)


def replace_pools(net: nn.Module) -> None:
    """Replace each adaptive pooling to more than one cell by a MatrixPool."""

    def replacement(layer: nn.Module) -> nn.Module | None:
        if not isinstance(layer, nn.AdaptiveAvgPool2d):
            return None
        size = layer.output_size
        sides = (size, size) if isinstance(size, int) else tuple(size)
        return MatrixPool(sides) if sides != (1, 1) else None

    _replace(net, replacement)


def replace_same_padding(net: nn.Module) -> None:
    """Replace the padding that timm's TensorFlow-style layers compute for each image by a fixed one.

    For sides that are multiples of the stride, as all of them are in a SegmentationModel, it is max(dilation (kernel -
    1) + 1 - stride, 0) pixels, the larger half at the end.
    """
    plain = {Conv2dSame: nn.Conv2d, AvgPool2dSame: nn.AvgPool2d, MaxPool2dSame: nn.MaxPool2d}

    def replacement(layer: nn.Module) -> nn.Module | None:
        if type(layer) not in plain:
            return None
        padding: list[int] = []
        for kernel, stride, dilation in zip(
            layer.kernel_size, layer.stride, getattr(layer, "dilation", (1, 1)), strict=True
        ):
            total = max(dilation * (kernel - 1) + 1 - stride, 0)
            padding = [total // 2, total - total // 2, *padding]  # torch names the last axis first
        bare = copy.copy(layer)
        bare.__class__ = plain[type(layer)]
        value = float("-inf") if isinstance(layer, nn.MaxPool2d) else 0.0
        return nn.Sequential(nn.ConstantPad2d(padding, value), bare)

    _replace(net, replacement)


def _replace(module: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> None:
    for name, child in module.named_children():
        new = replacement(child)
        if new is None:
            _replace(child, replacement)
        else:
            setattr(module, name, new)
