"""Uncertainty: how unsure a model is of an image, from its probabilities.

Settles: Active Learning Literature Survey. Computer Sciences Technical Report 1648, University of Wisconsin-Madison,
2009, section 3.1: entropy and margin of a prediction, here of each pixel, both scaled so that 0 is sure and 1
undecided.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MAP_SIDE_PX = 320  # longer side of a map at most


class Uncertainty(NamedTuple):
    """Of an image: the means of its pixels' entropy and margin, 0..1 both, and a small map of the entropy, HW
    float32, 0..1; None where there is none."""

    entropy: float
    margin: float
    map: np.ndarray | None = None


def measure_pixels(probabilities: Tensor, mode: str) -> Tensor:
    """Entropy and margin of each pixel, (N, 2, H, W) float32 in 0..1, of probabilities (N, K, H, W).

    In multiclass the entropy is -sum of p log p over the classes, divided by log K, and the margin 1 - (p1 - p2) with
    p1 and p2 the two largest probabilities. A class on its own has the two of p and 1 - p, which makes the margin
    1 - |2p - 1|, whatever its threshold; in multilabel a pixel has the mean over its classes.
    """
    if mode != "multiclass":
        others = 1 - probabilities
        entropy = (torch.special.entr(probabilities) + torch.special.entr(others)) / math.log(2)
        return torch.stack([entropy.mean(1), 1 - (probabilities - others).abs().mean(1)], dim=1).clamp_(0, 1)
    if probabilities.shape[1] == 1:
        return probabilities.new_zeros(len(probabilities), 2, *probabilities.shape[-2:])
    entropy = torch.special.entr(probabilities).sum(1) / math.log(probabilities.shape[1])
    first, second = probabilities[:, 0], torch.zeros_like(probabilities[:, 0])
    for layer in probabilities[:, 1:].unbind(1):  # topk takes longer on a CPU
        first, second = torch.maximum(first, layer), torch.maximum(second, torch.minimum(first, layer))
    return torch.stack([entropy, 1 - (first - second)], dim=1).clamp_(0, 1)


def reduce_pixels(measured: Tensor) -> tuple[Tensor, Tensor]:
    """Of one image of measure_pixels, (2, H, W): its means (2,), and its entropy at MAP_SIDE_PX at most."""
    height, width = measured.shape[-2:]
    scale = min(MAP_SIDE_PX / max(height, width), 1)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    return measured.mean((1, 2)), functional.interpolate(measured[None, :1], size=size, mode="area")[0, 0]


class Meter:
    """The uncertainty of an image that comes in strips of probabilities (1, K, rows, W)."""

    def __init__(self, mode: str):
        self._mode = mode
        self._sums, self._pixels = np.zeros(2), 0

    def add(self, probabilities: Tensor) -> None:
        """Add the next strip."""
        measured = measure_pixels(probabilities, self._mode)[0]
        self._sums += measured.sum((1, 2), dtype=torch.float64).cpu().numpy()
        self._pixels += measured[0].numel()

    @property
    def uncertainty(self) -> Uncertainty:
        """That of all strips."""
        return Uncertainty(*(self._sums / max(self._pixels, 1)).tolist())
