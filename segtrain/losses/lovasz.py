"""The gradient of the Lovasz extension of the Jaccard loss, for all classes in one sort."""

import torch
from torch import Tensor

_INFINITY_BITS = 0x7F800000


@torch.no_grad()
def compute_lovasz_weights(errors: Tensor, foreground: Tensor, valid: Tensor) -> Tensor:
    """What each pixel's error counts in the Lovasz extension of the Jaccard loss of its row.

    The loss of a row is ``(errors * weights).sum(1)``, and its gradient by the errors is the weights (Berman et al.
    2018, "The Lovasz-Softmax loss", algorithm 1). There the weights are differences of neighbouring Jaccard losses,
    which in float32 leaves one digit of them at a million pixels. Here they are in closed form: down the sorted
    errors, with I and U the intersection and union that are left after a pixel, a foreground pixel counts 1 / U and a
    background pixel I / (U (U - 1)).

    Args:
        errors: float32 of shape (rows, pixels), not negative.
        foreground: bool, same shape: the pixel is of the row's class.
        valid: bool, same shape; a pixel that is not valid gets weight 0 and changes no other's.

    Returns:
        Weights, float32 of shape (rows, pixels). Without foreground the greatest error counts 1 and the others 0.
    """
    foreground = foreground & valid
    order, hits = _sort_descending(errors, foreground, valid)
    total = foreground.sum(1, keepdim=True, dtype=torch.int32)
    rank = torch.arange(1, errors.shape[1] + 1, dtype=torch.int32, device=errors.device)
    seen = hits.cumsum(1, dtype=torch.int32)
    intersection = (total - seen).float()
    union = (total + rank).sub_(seen).float()
    background = intersection.div_(union).div_((union - 1).clamp_min_(1))
    weights = torch.where(hits, union.reciprocal_(), background)
    weights[:, :1].masked_fill_(total == 0, 1.0)
    return torch.empty_like(weights).scatter_(1, order, weights).masked_fill_(~valid, 0.0)


def _sort_descending(errors: Tensor, foreground: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel numbers by falling error, pixels that are not valid last, and the foreground in that order.

    On a CPU, numpy sorts 64-bit numbers eight times as fast as torch sorts floats together with their places. The
    number is the error's bits (they grow with the float, where it is not negative), the place and the foreground.
    """
    if errors.device.type != "cpu":
        order = errors.masked_fill(~valid, -1.0).sort(dim=1, descending=True).indices
        return order, foreground.gather(1, order)
    keys = torch.empty(*errors.shape, 2, dtype=torch.int32)  # low word, high word: the order of every CPU we run on
    low, high = keys.unbind(-1)
    low.copy_(foreground).add_(torch.arange(0, 2 * errors.shape[1], 2, dtype=torch.int32))
    torch.sub(_INFINITY_BITS, errors.abs().view(torch.int32), out=high).masked_fill_(~valid, _INFINITY_BITS + 1)
    keys.view(torch.int64).squeeze(-1).numpy().sort(axis=1)
    return low.bitwise_right_shift(1).long(), low.bitwise_and(1).bool()
