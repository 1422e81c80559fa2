"""Pixels hit, pixels in ground truth and pixels predicted, for each image and class: all that IoU needs.

Counts are int64 (.., 3, C); those of a whole set are the sum of its images'.
"""

import numpy as np
from numpy.typing import NDArray


def count_pixels(prediction: NDArray, mask: NDArray, *, classes: int, ignore_index: int) -> NDArray[np.int64]:
    """The confusion matrix of one image, as metrics.ConfusionMatrix and LayerConfusion count it.

    Those are made for counting on the device without waiting for it; of single images on the CPU they take some ten
    times as long as this.

    Args:
        prediction: class indices, HW; in multilabel layers of 0 and 1, CHW. At ignored pixels anything.
        mask: the same, or ignore_index.
        classes: number of classes C.
        ignore_index: mask value of what is counted nowhere.

    Returns:
        int64 (C, C), rows ground truth; of layers (C, 2, 2).
    """
    if mask.ndim == 3:
        layers = zip(prediction, mask, strict=True)
        return np.stack([count_pixels(layer, true, classes=2, ignore_index=ignore_index) for layer, true in layers])
    known = mask != ignore_index
    cells = mask.astype(np.int64) * classes + prediction
    return np.bincount(cells[known], minlength=classes * classes).reshape(classes, classes)


def class_counts(matrix: NDArray) -> NDArray[np.int64]:
    """(3, C) of a confusion matrix, (C, C), rows ground truth, or (C, 2, 2) as LayerConfusion has them."""
    if matrix.ndim == 3:
        return np.stack([matrix[:, 1, 1], matrix[:, 1].sum(axis=1), matrix[:, :, 1].sum(axis=1)])
    return np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])


def iou_of(counts: NDArray) -> NDArray[np.float64]:
    """IoU, float64 (.., C) in 0..1 of counts (.., 3, C): nan for a class in neither ground truth nor prediction."""
    hit, true, predicted = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    union = true + predicted - hit
    return np.divide(hit, union, out=np.full_like(hit, np.nan), where=union > 0)


def mean_of_known(values: NDArray) -> NDArray[np.float64]:
    """The mean over the last axis of what is not nan; nan where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
