"""The probability from which on a class is said to be there, chosen by the images of a split."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtrain.files import write_whole

STEPS = 1000
EDGES = (np.arange(1, STEPS) / STEPS).astype(np.float32)  # the thresholds that are tried


@dataclass(frozen=True)
class Tuned:
    """The threshold of one class, and its IoU with the threshold that was in use and with this one."""

    name: str
    threshold: float
    before: float
    after: float


def count_probabilities(probabilities: NDArray[np.float32], true: NDArray[np.bool_], known: NDArray) -> NDArray:
    """Pixels by the thresholds that they reach: int64 (K, 2, STEPS) of all (K, H, W).

    Args:
        probabilities: of each class, 0..1.
        true: whether the pixel is of the class.
        known: what is not ignored.

    Returns:
        [k, t, b]: pixels of class k (t = 1) or not (t = 0) that reach EDGES[b - 1] but not EDGES[b].
    """
    counted = np.zeros((len(probabilities), 2, STEPS), np.int64)
    for layer in range(len(probabilities)):
        # by comparison with the very numbers that the predictor compares with: exact, also where they are met
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
        place = int(best[np.abs(best + 1 - STEPS // 2).argmin()])
        result.append(Tuned(name, (place + 1) / STEPS, float(score), float(scores[place])))
    return result


def write_thresholds(path: Path, tuned: list[Tuned], *, epoch: int | None) -> None:
    """The thresholds and the epoch of the checkpoint that they are for as JSON. Raises DataError where it cannot be
    written."""
    content = {"epoch": epoch, "thresholds": {item.name: item.threshold for item in tuned}}
    write_whole(path, json.dumps(content, indent=2) + "\n")


def describe_tuned(tuned: list[Tuned]) -> str:
    """A line for each class."""
    width = max(len(item.name) for item in tuned)
    lines = []
    for name, threshold, before, after in (vars(item).values() for item in tuned):
        lines.append(f"{name.ljust(width)}  threshold {threshold:.3f}, IoU {before:.4f} before, {after:.4f} after")
    return "\n".join(lines)
