"""Test-time augmentation: the same images resized, mirrored and turned, and their probabilities averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from segtrain.inference.network import resize_probabilities
from segtrain.inference.tiles import Apply

# (quarter turns, mirrored): what is done to the image, the mirroring first
FLIPS = {
    "none": ((0, False),),
    "horizontal": ((0, False), (0, True)),
    "d4": tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}


def average_views(images: Tensor, apply: Apply, *, scales: Sequence[float], flip: str) -> Tensor:
    """The mean of the probabilities of all views, turned back and resized to the images.

    Args:
        images: (N, C, H, W), uint8 or float32, 0..255.
        apply: images (N, C, h, w) -> probabilities (N, K, h, w).
        scales: factors of height and width.
        flip: a key of FLIPS.

    Returns:
        (N, K, H, W) float32.
    """
    size = tuple(images.shape[-2:])
    total: Tensor | None = None
    for scale in scales:
        resized = resize_images(images, (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)))
        for turns, mirrored in FLIPS[flip]:
            probabilities = _turn(apply(_turn(resized.flip(-1) if mirrored else resized, turns)), -turns)
            probabilities = resize_probabilities(probabilities.flip(-1) if mirrored else probabilities, size)
            total = probabilities if total is None else total + probabilities
    count = len(scales) * len(FLIPS[flip])
    return total if count == 1 else total / count


def _turn(images: Tensor, turns: int) -> Tensor:
    return torch.rot90(images, turns, (-2, -1)) if turns else images  # which would copy them for nothing


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) at another size (H, W), of the same type; reduced ones are smoothed first."""
    if images.shape[-2:] == size:
        return images
    smaller = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    resized = functional.interpolate(images.float(), size=size, mode="bilinear", align_corners=False, antialias=smaller)
    return resized.round().clamp(0, 255).to(images.dtype) if images.dtype == torch.uint8 else resized
