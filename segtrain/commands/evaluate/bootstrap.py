"""How far a score may be off for the choice of the images: bootstrap intervals."""

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.evaluate.counts import iou_of, mean_of_known

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0
_TOGETHER = 50  # resamples whose weights are in memory at once


def bootstrap_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle 95 % of the IoU of 1000 sets of images drawn from these, as many, with replacement.

    The counts of the drawn images are summed before the IoU is taken, as for the whole set (Efron, Tibshirani: An
    introduction to the bootstrap, 1993, the percentile interval). The seed is fixed: the same images, the same
    interval.

    Args:
        counts: (N, 3, C), see counts.py.

    Returns:
        float64 (2, 1 + C): low and high of the mean over the classes, then of each class; nan for fewer than two
        images, and for a class that occurs in none.
    """
    images, _, classes = counts.shape
    if images < 2:
        return np.full((2, 1 + classes), np.nan)
    generator = np.random.default_rng(SEED)
    flat = counts.reshape(images, -1).astype(np.float64)
    scores = []
    for first in range(0, RESAMPLES, _TOGETHER):
        together = min(_TOGETHER, RESAMPLES - first)
        weights = generator.multinomial(images, np.full(images, 1 / images), size=together)
        iou = iou_of((weights.astype(np.float64) @ flat).reshape(together, 3, classes))
        scores.append(np.column_stack([mean_of_known(iou), iou]))
    return _middle(np.concatenate(scores))


def _middle(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percentiles of each column over what is not nan, (2, columns): a class of few images is in some sets only."""
    shares = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    columns = [column[~np.isnan(column)] for column in scores.T]
    return np.stack([np.quantile(column, shares) if column.size else np.full(2, np.nan) for column in columns], axis=1)
