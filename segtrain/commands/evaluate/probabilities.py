"""Probabilities: their calibration error, and the thresholds that give the best IoU."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of the calibration error
STEPS = 1000
EDGES = (np.arange(1, STEPS) / STEPS).astype(np.float32)  # the thresholds that are tried

TOP_LABEL_DEFINITION = (
    f"Calibration error (top label, {BINS} bins): difference between the probability of the predicted class and the "
    f"share of correct pixels, in bins of equal width, weighted by pixels."
)
CLASS_DEFINITION = (
    f"Calibration error ({BINS} bins): difference between the probability of a class and the share of pixels of that "
    f"class, in bins of equal width, weighted by pixels; mean over the classes."
)


def count_confidences(confidence: NDArray[np.float32], right: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray:
    """Count pixels in bins of confidence: the pixels, the sum of their confidence, the pixels that are right.

    Args:
        confidence: (K, H, W), 0..1: the probability of the predicted class (K = 1); in binary and multilabel that of
            each class.
        right: (K, H, W), whether the prediction is right; in binary and multilabel whether the pixel is of the class.
        known: (K, H, W), the pixels that are not ignored.

    Returns:
        float64 (3, K, BINS). A bin holds its upper edge but not its lower one, as in Guo, Pleiss, Sun, Weinberger: On
        Calibration of Modern Neural Networks, ICML 2017; the first one holds 0 too.
    """
    counted = np.zeros((3, len(confidence), BINS))
    for layer in range(len(confidence)):
        values, hits = confidence[layer][known[layer]], right[layer][known[layer]]
        bins = np.clip(np.ceil(values * np.float32(BINS)).astype(np.int64) - 1, 0, BINS - 1)
        for index, weights in enumerate((None, values, hits)):
            counted[index, layer] = np.bincount(bins, weights=weights, minlength=BINS)
    return counted


def calibration_error(counted: NDArray) -> float:
    """Expected calibration error, 0..1, of the counts of count_confidences: the sum over the bins of their share of the
    pixels times |share that is right - mean confidence|; the mean over the classes. nan without a pixel."""
    pixels, confidence, right = counted
    totals = pixels.sum(axis=1)
    errors = np.abs(right - confidence).sum(axis=1)[totals > 0] / totals[totals > 0]
    return float(errors.mean()) if errors.size else float("nan")


class Tuned(NamedTuple):
    """The threshold that was found for a class, and its IoU with the threshold in use and with this one."""

    name: str
    threshold: float
    before: float
    after: float


def count_probabilities(probabilities: NDArray[np.float32], true: NDArray[np.bool_], known: NDArray) -> NDArray:
    """Count pixels by the highest threshold that they reach.

    Args:
        probabilities: (K, H, W), of each class, 0..1.
        true: (K, H, W), whether the pixel is of the class.
        known: (K, H, W), the pixels that are not ignored.

    Returns:
        int64 (K, 2, STEPS). [k, t, b]: pixels of class k (t = 1) or not (t = 0) that reach EDGES[b - 1], not EDGES[b].
    """
    counted = np.zeros((len(probabilities), 2, STEPS), np.int64)
    for layer in range(len(probabilities)):
        # EDGES are the very numbers that the predictor compares with: exact even where a probability equals one
        bins = np.searchsorted(EDGES, probabilities[layer][known[layer]], side="right")
        cells = bins + STEPS * true[layer][known[layer]]
        counted[layer] = np.bincount(cells, minlength=2 * STEPS).reshape(2, STEPS)
    return counted


def iou_by_threshold(counted: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class at each of EDGES, (K, STEPS - 1), of what count_probabilities has counted; nan for a class
    without a pixel in ground truth."""
    reached = counted[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
    false, hit = reached[:, 0], reached[:, 1]
    true = counted[:, 1].sum(axis=1, keepdims=True)
    return np.divide(hit, true + false, out=np.full(hit.shape, np.nan), where=np.broadcast_to(true > 0, hit.shape))


def tune(counted: NDArray[np.int64], *, names: list[str], thresholds: list[float], before: NDArray) -> list[Tuned]:
    """For each class the threshold of the highest IoU; among several the one next to 0.5. A class without a pixel
    keeps its own.

    Args:
        counted: see count_probabilities.
        names: the K classes.
        thresholds: those in use.
        before: the IoU of each class with them.
    """
    result = []
    for name, scores, given, score in zip(names, iou_by_threshold(counted), thresholds, before, strict=True):
        if np.isnan(scores).all():
            result.append(Tuned(name, given, float(score), float(score)))
            continue
        best = np.flatnonzero(scores == scores.max())
        index = int(best[np.abs(best + 1 - STEPS // 2).argmin()])
        result.append(Tuned(name, (index + 1) / STEPS, float(score), float(scores[index])))
    return result
