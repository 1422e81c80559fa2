"""One confusion matrix over a whole data set, and the scores that follow from it.

Rows are ground truth, columns are prediction, cells are pixels. The matrix is the only state and every score is a pure
function of it: the scores of several processes come from the sum of their matrices, never from a mean of means.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

MIOU_DEFINITION = (
    "mIoU is the mean IoU over the classes that occur in ground truth or prediction, "
    "from one confusion matrix of all pixels that are not ignored."
)


MULTILABEL_DEFINITION = (
    "mIoU is the mean IoU over the classes that occur in ground truth or prediction, each from the hits, misses and "
    "false alarms of all its pixels that are not ignored."
)


class ConfusionMatrix:
    """Counts pixels by (true class, predicted class).

    Args:
        classes: number of classes C, at least 1; a binary task has two, background and foreground.
        ignore_index: mask value of the pixels that are counted nowhere. It may lie within 0..C-1.
        device: where the counting happens; give the device of the predictions to avoid copies.

    `counts` is an int64 tensor of shape (C * C + 3,) on `device`: the matrix row by row, then the numbers of ignored
    pixels, of pixels with an invalid mask value and of pixels with an invalid prediction. Summing `counts` in place
    over processes (all_reduce) gives the state of the whole.
    """

    def __init__(self, classes: int, *, ignore_index: int = 255, device: torch.device | str = "cpu") -> None:
        if classes < 1:
            raise ValueError(f"classes must be at least 1, not {classes}")
        self.classes = classes
        self.ignore_index = ignore_index
        self.counts = torch.zeros(classes * classes + 3, dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, prediction: Tensor, mask: Tensor) -> None:
        """Add pixels without waiting for the device.

        Args:
            prediction: class indices 0..C-1, integer or bool, any shape; at ignored pixels anything.
            mask: class indices 0..C-1 or ignore_index, integer or bool, the shape of `prediction`.

        Raises:
            ValueError: the shapes differ or a tensor is not of integers. Values out of range are reported when `matrix`
                is read: to look at them here would stop the device once per batch.
        """
        if prediction.shape != mask.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and mask {tuple(mask.shape)} must have the same shape"
            )
        if prediction.is_floating_point() or mask.is_floating_point():
            raise ValueError(f"expected class indices, got prediction of {prediction.dtype} and mask of {mask.dtype}")
        prediction = prediction.to(self.counts.device, torch.int64).flatten()
        mask = mask.to(self.counts.device, torch.int64).flatten()
        cells = self.classes * self.classes
        cell = mask * self.classes + prediction
        cell = cell.masked_fill((prediction < 0) | (prediction >= self.classes), cells + 2)
        cell = cell.masked_fill((mask < 0) | (mask >= self.classes), cells + 1)
        cell = cell.masked_fill(mask == self.ignore_index, cells)
        self.counts += _count(cell, cells + 3)

    @property
    def matrix(self) -> Tensor:
        """The matrix, (C, C) int64 on the CPU, a copy.

        Raises:
            ValueError: a counted mask value was neither a class nor ignore_index, or a counted prediction was no class.
        """
        counts = self.counts.to("cpu", copy=True)
        *_, bad_mask, bad_prediction = counts.tolist()
        known = f"0..{self.classes - 1}"
        if bad_mask:
            raise ValueError(
                f"{bad_mask} mask pixels are neither a class ({known}) nor ignore_index ({self.ignore_index})"
            )
        if bad_prediction:
            raise ValueError(f"{bad_prediction} predicted pixels are not a class ({known})")
        return counts[:-3].reshape(self.classes, self.classes)


class LayerConfusion(ConfusionMatrix):
    """Counts the pixels of classes that may overlap, each class for itself.

    Args:
        classes: number of classes C.
        ignore_index: mask value of what is counted nowhere.
        device: as in ConfusionMatrix.

    It is one confusion matrix of 2 C rows: whether a pixel is class c or not are two of its classes.
    """

    def __init__(self, classes: int, *, ignore_index: int = 255, device: torch.device | str = "cpu") -> None:
        super().__init__(2 * classes, ignore_index=-1, device=device)
        self.ignored_value = ignore_index

    @torch.no_grad()
    def update(self, prediction: Tensor, mask: Tensor) -> None:
        """Add layers: both (N, C, H, W) of 0 and 1, the mask also ignore_index. Raises as ConfusionMatrix does."""
        first = 2 * torch.arange(self.classes // 2, device=mask.device).view(1, -1, 1, 1)
        ignored = mask == self.ignored_value
        super().update(prediction + first.to(prediction.device), (mask + first).masked_fill(ignored, -1))

    @property
    def matrix(self) -> Tensor:
        """For each class the matrix of not-the-class and the class, (C, 2, 2) int64 on the CPU, rows ground truth."""
        layers = torch.arange(self.classes // 2)
        return super().matrix.reshape(len(layers), 2, len(layers), 2)[layers, :, layers, :]


def _count(values: Tensor, bins: int) -> Tensor:
    """How often each of 0..bins-1 occurs in the int64 tensor `values`: int64 (bins,)."""
    if values.is_cuda:
        # bincount waits to read minimum and maximum on the host; histc does not, and is exact on integers.
        return torch.histc(values, bins=bins, min=0, max=bins)
    return torch.bincount(values, minlength=bins)


def _totals(matrix: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Per class: pixels hit, pixels in ground truth, pixels predicted; float64 (C,) each."""
    cells = np.asarray(matrix, dtype=np.float64)
    if cells.ndim == 3 and cells.shape[1:] == (2, 2):
        return cells[:, 1, 1], cells[:, 1].sum(axis=1), cells[:, :, 1].sum(axis=1)
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1]:
        raise ValueError(f"a confusion matrix is square, not {cells.shape}")
    return np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)


def _right(matrix: ArrayLike) -> tuple[float, float]:
    """Pixels (with layers, pixels of every layer) that are right, and all of them."""
    cells = np.asarray(matrix, dtype=np.float64)
    return float(np.trace(cells, axis1=-2, axis2=-1).sum()), float(cells.sum())


def _ratio(numerator: NDArray, denominator: NDArray, occurs: NDArray) -> NDArray:
    """The quotient; 0 where only the denominator is empty, nan where the class does not occur at all."""
    ratio = np.where(occurs, 0.0, np.nan)
    return np.divide(numerator, denominator, out=ratio, where=denominator > 0)


def _mean(values: NDArray) -> float:
    """The mean of what is not nan; nan where nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def compute_iou(matrix: ArrayLike) -> NDArray:
    """Intersection over union, TP / (TP + FP + FN), the Jaccard index: float64 (C,) in 0..1.

    A class in neither ground truth nor prediction has nan; one in only one of the two has 0.
    """
    hit, true, predicted = _totals(matrix)
    return _ratio(hit, true + predicted - hit, true + predicted > 0)


def compute_dice(matrix: ArrayLike) -> NDArray:
    """Dice coefficient, 2 TP / (2 TP + FP + FN), the F1 score: float64 (C,) in 0..1, nan as in compute_iou."""
    hit, true, predicted = _totals(matrix)
    return _ratio(2 * hit, true + predicted, true + predicted > 0)


def compute_precision(matrix: ArrayLike) -> NDArray:
    """TP / (TP + FP): float64 (C,) in 0..1; 0 for a class that is there but never predicted, nan as in compute_iou."""
    hit, true, predicted = _totals(matrix)
    return _ratio(hit, predicted, true + predicted > 0)


def compute_recall(matrix: ArrayLike) -> NDArray:
    """TP / (TP + FN): float64 (C,) in 0..1; 0 for a class that is predicted but never there, nan as in compute_iou."""
    hit, true, predicted = _totals(matrix)
    return _ratio(hit, true, true + predicted > 0)


def compute_metrics(matrix: ArrayLike, names: Sequence[str]) -> dict[str, float]:
    """Every score of a confusion matrix, 0..1 or nan where nothing was counted.

    Args:
        matrix: pixels, (C, C), rows ground truth, columns prediction; or (C, 2, 2) as LayerConfusion has them.
        names: the C class names; ["background", name] for a binary task.

    Returns:
        miou, mdice, mprecision, mrecall: means over the classes that occur in ground truth or prediction.
        mean_class_accuracy: mean recall over the classes that occur in ground truth.
        pixel_accuracy: share of the pixels that are right.
        fwiou: IoU weighted by the class's share of ground truth (Long, Shelhamer, Darrell: Fully convolutional
            networks for semantic segmentation, 2015).
        iou/<class>, dice/<class>, precision/<class>, recall/<class>: nan for a class that does not occur.

    Raises:
        ValueError: the matrix is not square or its size is not the number of names.
    """
    hit, true, _ = _totals(matrix)
    if len(names) != len(hit):
        raise ValueError(f"{len(names)} class names for a confusion matrix of {len(hit)} classes")
    right, pixels = _right(matrix)
    per_class = {
        "iou": compute_iou(matrix),
        "dice": compute_dice(matrix),
        "precision": compute_precision(matrix),
        "recall": compute_recall(matrix),
    }
    metrics = {
        "miou": _mean(per_class["iou"]),
        "mdice": _mean(per_class["dice"]),
        "pixel_accuracy": right / pixels if pixels else float("nan"),
        "mean_class_accuracy": _mean(per_class["recall"][true > 0]),
        "fwiou": float(np.nansum(true * per_class["iou"]) / true.sum()) if true.any() else float("nan"),
        "mprecision": _mean(per_class["precision"]),
        "mrecall": _mean(per_class["recall"]),
    }
    for key, values in per_class.items():
        metrics |= {f"{key}/{name}": float(value) for name, value in zip(names, values, strict=True)}
    return metrics


def format_table(matrix: ArrayLike, names: Sequence[str]) -> str:
    """The scores per class as aligned text for a console, without a newline at the end.

    Args and errors as in compute_metrics. A class that does not occur has "-". Share is that of ground-truth pixels.
    """
    metrics = compute_metrics(matrix, names)
    _, true, _ = _totals(matrix)
    layered = np.ndim(matrix) == 3
    shares = true / np.maximum(np.asarray(matrix).sum(axis=(1, 2)) if layered else true.sum(), 1)
    keys = ("iou", "dice", "precision", "recall")
    rows = [("class", "IoU", "Dice", "precision", "recall", "share")]
    for name, share in zip(names, shares, strict=True):
        rows.append((name, *(_cell(metrics[f"{key}/{name}"]) for key in keys), f"{share:.2%}"))
    rows.append(("mean", *(_cell(metrics[f"m{key}"]) for key in keys), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    rule = "-" * len(lines[0])
    summary = (
        f"pixel accuracy {_cell(metrics['pixel_accuracy'])}, "
        f"mean class accuracy {_cell(metrics['mean_class_accuracy'])}, "
        f"frequency-weighted IoU {_cell(metrics['fwiou'])}"
    )
    definition = MULTILABEL_DEFINITION if layered else MIOU_DEFINITION
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1].rstrip(), summary, definition])


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
