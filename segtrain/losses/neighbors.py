"""Losses of neighboring pixels: region mutual information, and the distance to the boundary."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss, divide, to_layers
from segtrain.losses.pixel import PixelLoss

_ALPHA = 1e-3  # on the diagonal of covariances, which makes them positive definite


class RMILoss(SegmentationLoss):
    """Lower bound of the mutual information between the neighborhoods in the mask and in the prediction, negated and
    without its constant (Zhao et al. 2019, "Region mutual information loss for semantic segmentation").

    Each square of `radius` x `radius` cells is a point, in the mask and in the probabilities; the loss is half the log
    determinant of what the prediction leaves open of the covariance of the mask, divided by the number of cells. It is
    the mean over the classes that an image holds, and over the images. It has no lower bound of 0. The paper adds it
    in equal parts to a cross entropy, and takes the sum over classes and sigmoids in multiclass too, where this loss
    takes the softmax. Points with an ignored cell do not count. Needs float64, which MPS has not.

    Args:
        radius: side of the squares, in cells.
        stride: side of the cells, in pixels; a cell is the mean of its pixels that are not ignored.
    """

    whole_batch = False

    def __init__(self, mode: str, *, ignore_index: int = 255, radius: int = 3, stride: int = 4):
        super().__init__(mode, ignore_index=ignore_index)
        if radius < 1 or stride < 1:
            raise ValueError(f"radius is {radius} and stride {stride}, but both must be 1 or more")
        self.radius, self.stride = radius, stride

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        probs, there, valid = to_layers(logits, target, valid)
        there = there & valid
        share = self._pool(valid.float())
        counted = self._points((share > 0).float()).amin(2, keepdim=True)
        pair = (self._pool(layer * valid) / share.clamp_min(1e-6) for layer in (there.float(), probs))
        true, predicted = (self._center(self._points(layer).double(), counted.double()) for layer in pair)
        identity = torch.eye(true.shape[2], dtype=true.dtype, device=true.device) * _ALPHA
        # What check_errors would tell makes the host wait; with the diagonal there is nothing to tell.
        factor = torch.linalg.cholesky_ex(predicted @ predicted.mT + identity).L
        cross = true @ predicted.mT
        left = true @ true.mT - cross @ torch.cholesky_solve(cross.mT, factor)
        factor = torch.linalg.cholesky_ex(left + identity).L
        values = factor.diagonal(dim1=2, dim2=3).log().mean(2).float()
        held = there.flatten(2).any(2) & (counted > 0).any(3).squeeze(2)
        images = divide((values * held).sum(1), held.sum(1))
        return self.average(images.sum(), held.any(1).sum())

    def _pool(self, layers: Tensor) -> Tensor:
        # The sum of a cell, at the border too, divided by the number of pixels of a whole one.
        return functional.avg_pool2d(layers, self.stride, ceil_mode=True, divisor_override=self.stride**2)

    def _points(self, layers: Tensor) -> Tensor:
        """The squares of layers (N, C, H, W): (N, C, cells of a square, squares)."""
        batch, classes = layers.shape[:2]
        return functional.unfold(layers.flatten(0, 1).unsqueeze(1), self.radius).unflatten(0, (batch, classes))

    @staticmethod
    def _center(points: Tensor, counted: Tensor) -> Tensor:
        mean = (points * counted).sum(3, keepdim=True) / counted.sum(3, keepdim=True).clamp_min(1)
        return (points - mean) * counted


class BoundaryLoss(PixelLoss):
    """The mean over pixels and classes of the probability times the distance to the boundary of the class in pixels,
    negative inside (Kervadec et al. 2019, "Boundary loss for highly unbalanced segmentation").

    The first pixel inside has distance 0 and the first outside 1, as in the paper's code; a class that fills an image,
    or is not in it, costs nothing there. The loss is below 0 where the prediction is good, and without a bound: the
    paper adds it to a region loss, with a factor of 0.01 that grows. Ignored pixels are neither inside nor outside.
    """

    def sum_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        probs, there, layers = to_layers(logits, target, valid)
        classes = logits.shape[1] if self.mode == "multiclass" else 1
        return (probs * compute_signed_distances(there & layers, layers) * layers).sum() / classes


@torch.no_grad()
def compute_signed_distances(there: Tensor, valid: Tensor) -> Tensor:
    """Distances in pixels, (N, C, H, W) float32: outside a class to its nearest pixel, inside it 1 less than to the
    nearest pixel outside, and negative; 0 where an image has no pixel of the one or of the other.

    Args:
        there: bool, (N, C, H, W): the pixel is of the class.
        valid: bool, same shape: the pixel is inside or outside; `there` is False where this is.
    """
    outside = valid & ~there
    signed = torch.where(there, 1 - compute_distances(outside), compute_distances(there))
    both = there.flatten(2).any(2) & outside.flatten(2).any(2)
    return torch.where(both[..., None, None], signed, 0.0)


def compute_distances(sources: Tensor) -> Tensor:
    """The Euclidean distance of each pixel to the nearest source in its layer, in pixels, (N, C, H, W) float32; of no
    meaning where a layer has none. `sources` is bool of the same shape."""
    if sources.device.type == "cpu":
        layers = (~sources).flatten(0, 1).numpy().view(np.uint8)
        exact = {"distanceType": cv2.DIST_L2, "maskSize": cv2.DIST_MASK_PRECISE}
        return torch.from_numpy(np.stack([cv2.distanceTransform(layer, **exact) for layer in layers])).view_as(sources)
    return compute_distances_on_device(sources)


def compute_distances_on_device(sources: Tensor) -> Tensor:
    """The same, without a copy to the host: down the columns, and then along the rows the least of all sums of
    squares."""
    height, width = sources.shape[-2:]
    rows = torch.arange(height, dtype=torch.float32, device=sources.device).view(-1, 1)
    above = torch.where(sources, rows, -1e9).cummax(2).values
    below = torch.where(sources, rows, 1e9).flip(2).cummin(2).values.flip(2)
    column = torch.minimum(rows - above, below - rows).square()
    least = column.clone()
    for step in range(1, width):
        for near, far in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            least[..., near] = torch.minimum(least[..., near], column[..., far] + step**2)
    return least.sqrt()
