"""Boundary IoU: how well outlines fit, where IoU sees little but the inside of large objects."""

import cv2
import numpy as np
from numpy.typing import NDArray

DILATION_SHARE = 0.02

BOUNDARY_DEFINITION = (
    f"Boundary IoU is the IoU of those pixels of a class that are within {DILATION_SHARE:.0%} of the image diagonal "
    f"from its outline, summed over all images."
)


def boundary_width_px(height: int, width: int) -> int:
    """The distance from the outline up to which pixels are counted: 2 % of the diagonal, at least 1."""
    return max(1, round(DILATION_SHARE * float(np.hypot(height, width))))


def find_boundary(labels: NDArray, width_px: int) -> NDArray[np.bool_]:
    """The pixels at most `width_px` from one of another label or from outside of the image, diagonals counted as 1.

    For every label at once this is what eroding each label's mask leaves out: the smallest and the largest label in
    the square around a pixel are its own where the mask is whole there.

    Args:
        labels: HW uint8 or uint16, from 1 on; 0 is what has no label, and has no boundary.
        width_px: d, at least 1; the square is 2 d + 1 pixels wide.
    """
    square = np.ones((2 * width_px + 1,) * 2, np.uint8)
    smallest = cv2.erode(labels, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    largest = cv2.dilate(labels, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return ((smallest != labels) | (largest != labels)) & (labels > 0)


def count_boundaries(prediction: NDArray, mask: NDArray, *, classes: int, ignore_index: int) -> NDArray[np.int64]:
    """Pixels of the boundaries of each class: hit, in ground truth, predicted.

    Cheng, Girshick, Dollar, Berg, Kirillov: Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR
    2021. With G_d the pixels of the class's mask G that are within d of its outline, and P_d those of its prediction,
    it is |G_d and P_d| / |G_d or P_d|; the border of the image is an outline too. As in the authors' code, d is 2 % of
    the diagonal, rounded, at least 1 pixel, and is measured in squares. The paper has it for one object; here hits and
    unions of a class are summed over all images, as they are for mIoU. Where ground truth is ignored, neither mask has
    a pixel, so an outline there is the same in both.

    Args:
        prediction: class indices, HW; in multilabel layers of 0 and 1, CHW. At ignored pixels anything.
        mask: the same, or ignore_index.
        classes: number of classes C; a binary task has two.
        ignore_index: mask value of what is counted nowhere.

    Returns:
        int64 (3, C).
    """
    if mask.ndim == 3:
        layers = zip(prediction, mask, strict=True)
        each = [count_boundaries(layer, true, classes=2, ignore_index=ignore_index) for layer, true in layers]
        return np.stack([counts[:, 1] for counts in each], axis=1)
    width_px, known = boundary_width_px(*mask.shape), mask != ignore_index
    dtype = np.uint8 if classes < 255 else np.uint16
    predicted, true = (np.where(known, indices.astype(np.int32) + 1, 0).astype(dtype) for indices in (prediction, mask))
    in_true, in_predicted = find_boundary(true, width_px), find_boundary(predicted, width_px)
    hit = in_true & in_predicted & (true == predicted)
    chosen = (true[hit], true[in_true], predicted[in_predicted])
    return np.stack([np.bincount(labels, minlength=classes + 1)[1:] for labels in chosen])
