"""Scoring of a split: every image is predicted at its original size, and its pixels are counted.

The validation during a training, `evaluate` and the comparison of an exported model share this loop, so that their
scores are identical.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrain.data.dataset import Batch
from segtrain.distributed import sum_all
from segtrain.inference.task import Task
from segtrain.metrics import ConfusionMatrix


class Scored(NamedTuple):
    """Images of the same size that were just counted.

    `batch` is from the loader. `mask` is int64 on the device, (N, H, W) class indices or (N, C, H, W) layers, with
    ignore_index, and so is `prediction`. `outputs` is what `predict` returned in addition to its prediction. `matrices`
    has the confusion matrix of each image, see ConfusionMatrix.update.
    """

    batch: Batch
    mask: Tensor
    prediction: Tensor
    outputs: Any
    matrices: Tensor


def score(
    predict: Callable[[Batch], tuple[Tensor, Any]],
    batches: Iterable[list[Batch]],
    task: Task,
    *,
    device: torch.device,
    see: Callable[[Scored], None] | None = None,
) -> NDArray[np.int64]:
    """Predict all batches and count their pixels, together with those of other processes, if there are any.

    Args:
        predict: from a batch to its prediction, (N, H, W) class indices or (N, C, H, W) layers of 0 and 1 at the size
            of the masks, and anything that `see` also needs.
        batches: lists of groups of the same size with their masks, see RawSamples and EvalSamples.
        task: the classes, and the mask value that is never counted.
        device: where pixels are counted.
        see: called with every group after it is counted.

    Returns:
        The confusion matrix (C, C), rows ground truth; in multilabel (C, 2, 2).
    """
    layers = task.mode == "multilabel"
    confusion = ConfusionMatrix(len(task.names), layers=layers, ignore_index=task.ignore_index, device=device)
    for groups in batches:
        for batch in groups:
            mask = batch["mask"].to(device, non_blocking=True).long()
            prediction, outputs = predict(batch)
            matrices = confusion.update(prediction, mask)
            if see is not None:
                see(Scored(batch, mask, prediction, outputs, matrices))
    confusion.counts = sum_all(confusion.counts)
    return confusion.matrix.numpy()
