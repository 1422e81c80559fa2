"""Whether probabilities mean what they say: expected calibration error and what a reliability diagram shows."""

import numpy as np
from numpy.typing import NDArray

BINS = 15

TOP_LABEL_DEFINITION = (
    f"Calibration error (top label, {BINS} bins): how far the probability of the predicted class is from the share of "
    "pixels that are right, in bins of equal width, weighted by their pixels."
)
CLASS_DEFINITION = (
    f"Calibration error ({BINS} bins): how far the probability of a class is from the share of pixels that are of it, "
    "in bins of equal width, weighted by their pixels; the mean over the classes."
)


def count_confidences(confidence: NDArray[np.float32], right: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray:
    """Pixels by their confidence: how many, the sum of their confidence, how many are right.

    Args:
        confidence: probabilities 0..1, (K, H, W): of the predicted class (K = 1); or, where a class is there or not,
            of each class.
        right: whether the prediction is right; or whether the pixel is of the class.
        known: what is not ignored.

    Returns:
        float64 (3, K, BINS). A bin holds what is above its lower and not above its upper edge, as in Guo, Pleiss, Sun,
        Weinberger: On Calibration of Modern Neural Networks, ICML 2017; the first one holds 0 too.
    """
    counted = np.zeros((3, len(confidence), BINS))
    for layer in range(len(confidence)):
        values, hits = confidence[layer][known[layer]], right[layer][known[layer]]
        bins = np.clip(np.ceil(values * np.float32(BINS)).astype(np.int64) - 1, 0, BINS - 1)
        for place, weights in enumerate((None, values, hits)):
            counted[place, layer] = np.bincount(bins, weights=weights, minlength=BINS)
    return counted


def calibration_error(counted: NDArray) -> float:
    """Expected calibration error, 0..1, of what count_confidences has counted: the sum over the bins of their share of
    the pixels times |share that is right - mean confidence|; its mean over the classes. nan without a pixel."""
    pixels, confidence, right = counted
    totals = pixels.sum(axis=1)
    errors = np.abs(right - confidence).sum(axis=1)[totals > 0] / totals[totals > 0]
    return float(errors.mean()) if errors.size else float("nan")
