"""Lovasz loss: the Lovasz extension of the Jaccard loss, and its gradient for all classes in one sort."""

import torch
from torch import Tensor

from segtrain.losses.base import SegmentationLoss, divide

_INFINITY_BITS = 0x7F800000


@torch.no_grad()
def compute_lovasz_weights(errors: Tensor, foreground: Tensor, valid: Tensor) -> Tensor:
    """What each pixel's error counts in the Lovasz extension of the Jaccard loss of its row.

    The loss of a row is ``(errors * weights).sum(1)``, and its gradient by the errors is the weights (Berman et al.
    2018, "The Lovasz-Softmax loss", algorithm 1). There the weights are differences of neighboring Jaccard losses,
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

    On a CPU, numpy sorts 64-bit numbers eight times as fast as torch sorts floats together with their indices. The
    number is the error's bits (they grow with the float, where it is not negative), the index and the foreground.
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


class LovaszLoss(SegmentationLoss):
    """The Lovasz extension of the Jaccard loss (Berman et al. 2018, "The Lovasz-Softmax loss").

    In multiclass of the errors of the softmax, the mean over the classes that the mask holds. In binary and multilabel
    the hinge max(0, 1 - logit * sign), the mean over the channels that have a pixel, whether or not they have a
    positive one. (smp.losses.LovaszLoss takes all channels of multilabel as one class.)

    Args:
        per_image: each image by itself, then the mean over the images that have a class to count.
    """

    def __init__(self, mode: str, *, ignore_index: int = 255, per_image: bool = False):
        super().__init__(mode, ignore_index=ignore_index)
        self.per_image, self.whole_batch = per_image, not per_image

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        batch, classes = logits.shape[:2]
        if self.mode == "multiclass":
            foreground = target.unsqueeze(1) == torch.arange(classes, device=target.device).view(-1, 1, 1)
            valid = valid.unsqueeze(1).expand_as(logits)
            probs = logits.softmax(1)
            errors = torch.where(foreground, 1 - probs, probs)
            counted = foreground & valid
        else:
            foreground = target == 1
            errors = (1 - torch.where(foreground, logits, -logits)).relu()
            counted = valid

        def to_rows(values: Tensor) -> Tensor:
            if self.per_image:
                return values.reshape(batch * classes, -1)
            return values.transpose(0, 1).reshape(classes, -1)

        weights = compute_lovasz_weights(to_rows(errors.detach()), to_rows(foreground), to_rows(valid))
        groups = batch if self.per_image else 1
        values = (to_rows(errors) * weights).sum(1).view(groups, classes)
        counted = to_rows(counted).any(1).view(groups, classes)
        images = divide((values * counted).sum(1), counted.sum(1))
        if not self.per_image:
            return images.squeeze(0)
        return self.average(images.sum(), counted.any(1).sum())
