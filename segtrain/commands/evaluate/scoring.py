"""What is counted in the images of a split, one image after the other."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segtrain.commands.evaluate.boundary import count_boundaries
from segtrain.commands.evaluate.calibration import count_confidences
from segtrain.commands.evaluate.counts import class_counts, count_pixels, iou_of, mean_of_known
from segtrain.commands.evaluate.reading import Pair
from segtrain.commands.evaluate.thresholds import count_probabilities
from segtrain.inference.task import Task
from segtrain.visualize import flatten_layers, to_rgb

WORST = 12
SHOWN_SIDE_PX = 512  # the longer side of a picture that is kept for the contact sheet


@dataclass(frozen=True)
class Shown:
    """One of the worst images, reduced: `image` HWC uint8 RGB, `mask` and `prediction` HW as pictures take them."""

    name: str
    miou: float
    image: NDArray[np.uint8]
    mask: NDArray
    prediction: NDArray


@dataclass(frozen=True)
class Scores:
    """All that is counted. N images, C classes.

    `matrix` is the confusion matrix, (C, C), or (C, 2, 2) in multilabel. `regions` and `boundaries` are counts of each
    image, (N, 3, C), see counts.py. `calibration` is what count_confidences and `histogram` what count_probabilities
    counts, None where that was not asked for. `worst` begins with the worst.
    """

    names: list[str]
    matrix: NDArray[np.int64]
    regions: NDArray[np.int64]
    boundaries: NDArray[np.int64]
    calibration: NDArray | None
    histogram: NDArray | None
    worst: list[Shown]


class Scorer:
    """Takes batches in, keeps a few numbers of each image, and pictures of the worst.

    Args:
        task: the classes.
        ignore_index: mask value of what is counted nowhere.
        tune: count what tuning thresholds needs.
    """

    def __init__(self, task: Task, *, ignore_index: int, tune: bool = False):
        self.task = task
        self.ignore_index = ignore_index
        self.tune = tune
        self._names: list[str] = []
        self._matrix = self._calibration = self._histogram = 0  # sums, arrays as soon as something was added
        self._regions: list[NDArray] = []
        self._boundaries: list[NDArray] = []
        self._worst: list[tuple[float, int, Shown]] = []  # a heap, the best of the worst on top

    def add(self, pairs: Sequence[Pair], prediction: Tensor, confidence: Tensor | None) -> None:
        """Count a batch.

        Args:
            pairs: images of one size.
            prediction: (N, H, W) class indices, or (N, C, H, W) layers of 0 and 1.
            confidence: (N, K, H, W) float32, the probability of the predicted class (K = 1), or in binary and
                multilabel of each class; None where there is none.
        """
        predicted = prediction.cpu().numpy()
        confident = None if confidence is None else confidence.cpu().numpy()
        counting = {"classes": len(self.task.names), "ignore_index": self.ignore_index}
        for place, pair in enumerate(pairs):
            matrix = count_pixels(predicted[place], pair.mask, **counting)
            self._matrix = self._matrix + matrix
            self._names.append(pair.name)
            self._regions.append(class_counts(matrix))
            self._boundaries.append(count_boundaries(predicted[place], pair.mask, **counting))
            if confident is not None:
                self._add_confidence(pair.mask, predicted[place], confident[place])
            self._show(pair, predicted[place])

    def result(self) -> Scores:
        """What was counted, after the last batch."""
        order = sorted(range(len(self._names)), key=self._names.__getitem__)  # batches may have changed it
        return Scores(
            [self._names[place] for place in order],
            self._matrix,
            np.stack([self._regions[place] for place in order]),
            np.stack([self._boundaries[place] for place in order]),
            self._calibration if np.ndim(self._calibration) else None,
            self._histogram if np.ndim(self._histogram) else None,
            [shown for *_, shown in sorted(self._worst, key=lambda item: item[:2], reverse=True)],
        )

    def _add_confidence(self, mask: NDArray, predicted: NDArray, confidence: NDArray[np.float32]) -> None:
        layers = mask if mask.ndim == 3 else mask[None]
        right = layers == (predicted[None] if self.task.mode == "multiclass" else 1)
        known = layers != self.ignore_index
        self._calibration = self._calibration + count_confidences(confidence, right, known)
        if self.tune:
            self._histogram = self._histogram + count_probabilities(confidence, right, known)

    def _show(self, pair: Pair, predicted: NDArray) -> None:
        """Keep the pictures of the last image if it is among the worst so far; one without a counted pixel is not."""
        miou = float(mean_of_known(iou_of(self._regions[-1])))
        if math.isnan(miou) or (len(self._worst) == WORST and -miou <= self._worst[0][0]):
            return
        mask = pair.mask
        if mask.ndim == 3:
            mask, predicted = (flatten_layers(layers, ignore_index=self.ignore_index) for layers in (mask, predicted))
        shown = Shown(pair.name, miou, *(_reduce(picture) for picture in (to_rgb(pair.image), mask, predicted)))
        item = (-miou, -len(self._names), shown)
        if len(self._worst) < WORST:
            heapq.heappush(self._worst, item)
        else:
            heapq.heapreplace(self._worst, item)


def _reduce(picture: NDArray) -> NDArray:
    """Rows and columns left out, so that no index is invented, as a copy."""
    step = max(1, math.ceil(max(picture.shape[:2]) / SHOWN_SIDE_PX))
    return picture[::step, ::step].copy()
