"""Max-pooling that remembers positions, and its inverse, for windows of 2 x 2 that do not overlap.

They give what torch's max_pool2d and max_unpool2d give, ties included. Positions are counted within a window, so pixels
only change places: ONNX has an operator for each step, where few runtimes have those for indices of a whole map.

Unpooling is not continuous. Where the two largest values of a window differ by less than rounding does, another runtime
may put the value a pixel away: one window in a million did, which changed probabilities near it by 0.0004.
"""

import torch
from torch import Tensor
from torch.nn import functional


def max_pool(features: Tensor) -> tuple[Tensor, Tensor]:
    """The largest values (N, C, H / 2, W / 2) of features (N, C, H, W) with even sides, and where they were.

    Positions are int64 of the same shape: 0 to 3, row by row in a window; the first where several values are largest.
    """
    values, positions = functional.pixel_unshuffle(features, 2).unflatten(1, (-1, 4)).max(2)
    return values, positions


def max_unpool(features: Tensor, positions: Tensor) -> Tensor:
    """Features (N, C, h, w) at the positions that `max_pool` gave, and zeros beside them: (N, C, 2 h, 2 w)."""
    corners = torch.arange(4, device=positions.device).view(4, 1, 1)
    windows = torch.where(positions.unsqueeze(2) == corners, features.unsqueeze(2), 0)
    return functional.pixel_shuffle(windows.flatten(1, 2), 2)
