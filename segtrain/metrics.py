"""Metrics: one confusion matrix over an entire dataset, and the scores that follow from it.

Rows are ground truth, columns are prediction, cells are pixels. The matrix is the only state and every score is a pure
function of it: the scores of several processes come from the sum of their matrices, never from a mean of means.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

MIOU_DEFINITION = (
    "mIoU is the mean IoU over the classes that occur in the ground truth or the prediction, from one confusion "
    "matrix over all pixels that are not ignored."
)
MULTILABEL_DEFINITION = (
    "mIoU is the mean IoU over the classes that occur in the ground truth or the prediction, each from its true "
    "positives, false negatives and false positives over all pixels that are not ignored."
)


class ConfusionMatrix:
    """Counts pixels by (true class, predicted class).

    Args:
        classes: number of classes C; a binary task has two, background and foreground.
        layers: the classes may overlap: each has a matrix of its own, of whether a pixel is the class or not.
        ignore_index: mask value of the pixels that are counted nowhere. It may lie within 0..C-1.
        device: where the counting happens; give the device of the predictions to avoid copies.

    `counts` is an int64 tensor on `device`: the matrix row by row, then the numbers of ignored pixels, of pixels with
    an invalid mask value and of pixels with an invalid prediction. Summing `counts` in place over processes
    (all_reduce) gives the state of the whole.
    """

    def __init__(
        self, classes: int, *, layers: bool = False, ignore_index: int = 255, device: torch.device | str = "cpu"
    ) -> None:
        self.shape = (classes, 2, 2) if layers else (classes, classes)
        self.ignore_index = ignore_index
        self.counts = torch.zeros(math.prod(self.shape) + 3, dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, prediction: Tensor, mask: Tensor) -> Tensor:
        """Add a batch without waiting for the device; return the matrix of each of its images.

        Args:
            prediction: class indices 0..C-1, integer or bool, (N, ...); with layers (N, C, H, W) of 0 and 1. Ignored
                pixels may have any value.
            mask: the same, or ignore_index.

        Returns:
            int64 (N, C, C) on the device, rows ground truth; with layers (N, C, 2, 2).

        Raises:
            ValueError: the shapes differ or a tensor does not contain integers. Values out of range are reported when
                `matrix` is read: checking them here would stop the device once per batch.
        """
        if prediction.shape != mask.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and mask {tuple(mask.shape)} must have the same shape"
            )
        if prediction.is_floating_point() or mask.is_floating_point():
            raise ValueError(f"expected class indices, got prediction of {prediction.dtype} and mask of {mask.dtype}")
        device, bins, width = self.counts.device, len(self.counts), self.shape[-1]
        prediction, mask = prediction.to(device, torch.int64), mask.to(device, torch.int64)
        cell = mask * width + prediction
        if len(self.shape) == 3:
            cell += 4 * torch.arange(self.shape[0], device=device).view(-1, 1, 1)
        cell.masked_fill_((prediction < 0) | (prediction >= width), bins - 1)
        cell.masked_fill_((mask < 0) | (mask >= width), bins - 2)
        cell.masked_fill_(mask == self.ignore_index, bins - 3)
        images = len(cell)
        cell = cell.reshape(images, -1) + bins * torch.arange(images, device=device)[:, None]
        counts = _count(cell.flatten(), images * bins).view(images, bins)
        self.counts += counts.sum(dim=0)
        return counts[:, :-3].unflatten(1, self.shape)

    @property
    def matrix(self) -> Tensor:
        """The matrix of all batches, (C, C) int64 on the CPU, rows ground truth; with layers (C, 2, 2). A copy.

        Raises:
            ValueError: a counted mask value was neither a class nor ignore_index, or a counted prediction was no class.
        """
        counts = self.counts.to("cpu", copy=True)
        *_, bad_mask, bad_prediction = counts.tolist()
        known = f"0..{self.shape[-1] - 1}"
        if bad_mask:
            raise ValueError(
                f"{bad_mask} mask pixels are neither a class ({known}) nor ignore_index ({self.ignore_index})"
            )
        if bad_prediction:
            raise ValueError(f"{bad_prediction} predicted pixels are not a class ({known})")
        return counts[:-3].reshape(self.shape)


def _count(values: Tensor, bins: int) -> Tensor:
    """How often each of 0..bins-1 occurs in the int64 tensor `values`: int64 (bins,)."""
    if values.is_cuda:
        # bincount waits to read minimum and maximum on the host; histc does not, and is exact on integers.
        return torch.histc(values, bins=bins, min=0, max=bins)
    return torch.bincount(values, minlength=bins)


def class_counts(matrix: ArrayLike) -> NDArray:
    """For each class, the pixels that are correct, in the ground truth, and predicted, (3, C), from a matrix (C, C) or
    (C, 2, 2)."""
    cells = np.asarray(matrix)
    if cells.ndim == 3:
        return np.stack([cells[:, 1, 1], cells[:, 1].sum(axis=1), cells[:, :, 1].sum(axis=1)])
    return np.stack([np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)])


def class_scores(counts: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """The scores of each class, float64 (.., C) in 0..1.

    Args:
        counts: (.., 3, C), see class_counts; those of several images are the sum of each one's.

    Returns:
        iou: TP / (TP + FP + FN), the Jaccard index.
        dice: 2 TP / (2 TP + FP + FN), the F1 score.
        precision: TP / (TP + FP); 0 for a class that is there but never predicted.
        recall: TP / (TP + FN); 0 for a class that is predicted but never there.

        A class in neither ground truth nor prediction has nan; one in only one of the two has 0.
    """
    hit, true, predicted = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    unknown = np.where(true + predicted > 0, 0.0, np.nan)

    def divide(part: NDArray, whole: NDArray) -> NDArray:
        return np.divide(part, whole, out=unknown.copy(), where=whole > 0)

    return {
        "iou": divide(hit, true + predicted - hit),
        "dice": divide(2 * hit, true + predicted),
        "precision": divide(hit, predicted),
        "recall": divide(hit, true),
    }


def compute_iou(counts: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union (.., C), see class_scores."""
    return class_scores(counts)["iou"]


def mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the values that are not nan over the last axis, (..); nan if there are none."""
    rows = values.reshape(-1, values.shape[-1])
    known = [row[~np.isnan(row)] for row in rows]
    return np.reshape([row.mean() if row.size else np.nan for row in known], values.shape[:-1])


def compute_metrics(matrix: ArrayLike, names: Sequence[str]) -> dict[str, float]:
    """Every score of a confusion matrix, 0..1 or nan where nothing was counted.

    Args:
        matrix: pixels, (C, C), rows ground truth, columns prediction; or (C, 2, 2) of layers.
        names: the C class names; ["background", name] for a binary task.

    Returns:
        miou, mdice, mprecision, mrecall: means over the classes that occur in ground truth or prediction.
        mean_class_accuracy: mean recall over the classes that occur in ground truth.
        pixel_accuracy: share of the pixels (with layers, of the pixels of every layer) that are right.
        fwiou: IoU weighted by the class's share of ground truth (Long, Shelhamer, Darrell: Fully convolutional
            networks for semantic segmentation, 2015).
        iou/<class>, dice/<class>, precision/<class>, recall/<class>: nan for a class that does not occur.
    """
    cells, values = np.asarray(matrix, np.float64), score_counts(class_counts(matrix), names)
    pixels = cells.sum()
    right = np.trace(cells, axis1=-2, axis2=-1).sum()
    first = {"miou": values["miou"], "mdice": values["mdice"], "pixel_accuracy": right / pixels if pixels else np.nan}
    return {name: float(value) for name, value in (first | values).items()}


def score_counts(counts: ArrayLike, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The scores of compute_metrics that follow from the counts of the classes (all except pixel_accuracy), float64
    (..).

    Args:
        counts: (.., 3, C), see class_counts.
        names: the C class names.
    """
    scores, true = class_scores(counts), np.asarray(counts, np.float64)[..., 1, :]
    pixels = true.sum(axis=-1)
    weighted = np.nansum(true * scores["iou"], axis=-1)
    values = {
        "miou": mean_of_known(scores["iou"]),
        "mdice": mean_of_known(scores["dice"]),
        "mean_class_accuracy": mean_of_known(np.where(true > 0, scores["recall"], np.nan)),
        "fwiou": np.divide(weighted, pixels, out=np.full_like(weighted, np.nan), where=pixels > 0),
        "mprecision": mean_of_known(scores["precision"]),
        "mrecall": mean_of_known(scores["recall"]),
    }
    for key, each in scores.items():
        values |= {f"{key}/{name}": each[..., index] for index, name in enumerate(names)}
    return values


def format_table(matrix: ArrayLike, names: Sequence[str]) -> str:
    """The scores per class as aligned text for a console, without a newline at the end.

    Args as in compute_metrics. A class that does not occur has "-". Share is that of ground-truth pixels.
    """
    metrics = compute_metrics(matrix, names)
    true, layered = class_counts(matrix)[1], np.ndim(matrix) == 3
    shares = true / np.maximum(np.asarray(matrix).sum(axis=(1, 2)) if layered else true.sum(), 1)
    keys = ("iou", "dice", "precision", "recall")
    rows = [("class", "IoU", "Dice", "precision", "recall", "share")]
    for name, share in zip(names, shares, strict=True):
        rows.append((name, *(show_score(metrics[f"{key}/{name}"]) for key in keys), f"{share:.2%}"))
    rows.append(("mean", *(show_score(metrics[f"m{key}"]) for key in keys), ""))
    definition = MULTILABEL_DEFINITION if layered else MIOU_DEFINITION
    return "\n".join([align_rows(rows), format_summary(metrics), definition])


def align_rows(rows: Sequence[Sequence[str]]) -> str:
    """A text table: the first column left-aligned, the others right-aligned, rules around the middle rows."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def format_summary(metrics: dict[str, float]) -> str:
    """The overall scores, in one line."""
    return (
        f"pixel accuracy {show_score(metrics['pixel_accuracy'])}, "
        f"mean class accuracy {show_score(metrics['mean_class_accuracy'])}, "
        f"frequency-weighted IoU {show_score(metrics['fwiou'])}"
    )


def show_score(value: float) -> str:
    """Four decimals; "-" for nan."""
    return "-" if math.isnan(value) else f"{value:.4f}"
