"""Bootstrap: how far a score depends on the choice of the images, and the difference of two scores on the same ones."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segtrain.metrics import compute_iou, mean_of_known

RESAMPLES = 1000
LEVEL = 0.95
INTERVAL_DEFINITION = (
    f"The intervals contain the middle {LEVEL:.0%} of {RESAMPLES} scores on images resampled from these (bootstrap): "
    f"they show how much the choice of images matters."
)

Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def resample_counts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The counts of 1000 sets of as many images, drawn from these with replacement, summed over each set.

    The seed is fixed: for as many images the same ones are drawn, which makes differences of two models paired.

    Args:
        counts: (N, 3, C), see class_counts.

    Returns:
        float64 (RESAMPLES, 3, C).
    """
    images = len(counts)
    generator = np.random.default_rng(0)
    flat, each = counts.reshape(images, -1).astype(np.float64), []
    for _ in range(RESAMPLES // 50):  # so many weights are in memory at once
        weights = generator.multinomial(images, np.full(images, 1 / images), size=50).astype(np.float64)
        each.append(weights @ flat)
    return np.concatenate(each).reshape(-1, *counts.shape[1:])


def middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """Low and high of the middle 95 % of the values (R,) that are not nan; nan where there are none (Efron, Tibshirani:
    An introduction to the bootstrap, 1993, the percentile interval)."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if known.size else (np.nan, np.nan)
    return float(low), float(high)


def bootstrap_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The intervals of the IoU of a set of images. The counts of the drawn images are summed before the IoU is taken,
    as for the whole set.

    Args:
        counts: (N, 3, C), see class_counts.

    Returns:
        float64 (2, 1 + C): low and high of the mean over the classes, then of each class, over the sets in which it
        occurs; nan for fewer than two images, and for a class that occurs in none.
    """
    if len(counts) < 2:
        return np.full((2, 1 + counts.shape[2]), np.nan)
    iou = compute_iou(resample_counts(counts))
    return np.stack([middle(column) for column in (mean_of_known(iou), *iou.T)], axis=1)


def compare_paired(
    first: NDArray[np.int64], second: NDArray[np.int64], score: Score
) -> tuple[float, tuple[float, float]]:
    """The score of the second less that of the first, and the middle 95 % of that difference over 1000 sets of images,
    each of which is drawn for both (paired bootstrap; Koehn: Statistical significance tests for machine translation
    evaluation, 2004); nan for fewer than two images. Either may be several models, whose scores are averaged.

    Args:
        first: counts (M, N, 3, C) of M models on N images, see class_counts.
        second: the same of any number of models, on the same images in the same order.
        score: gives the scores (..) of counts (.., 3, C).
    """
    whole = [score(counts.sum(axis=1)).mean() for counts in (first, second)]
    difference = float(whole[1] - whole[0])
    if first.shape[1] < 2:
        return difference, (np.nan, np.nan)
    drawn = [np.mean([score(resample_counts(each)) for each in counts], axis=0) for counts in (first, second)]
    return difference, middle(drawn[1] - drawn[0])
