"""Folds of a batch: the out-of-fold score, and the ensemble of their models."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from segtrain.checkpoint import LAST, load_checkpoint
from segtrain.commands.batch.plan import PlannedRun
from segtrain.errors import CheckpointError
from segtrain.metrics import compute_metrics, format_table
from segtrain.training.resume import Saved


def report_folds(runs: Sequence[PlannedRun]) -> None:
    """Print the out-of-fold score of each experiment and seed whose folds are all among the finished `runs`, and the
    command that predicts with all of their models."""
    groups: dict[tuple[str, int], list[PlannedRun]] = defaultdict(list)
    for run in runs:
        if run.fold is not None:
            groups[run.config.name, run.config.seed].append(run)
    for (name, seed), group in groups.items():
        title = f"{name}, seed {seed}"
        try:
            matrix, images = sum_matrices([load_checkpoint(run.folder / LAST) for run in group])
        except (CheckpointError, ValueError) as error:
            print(f"{title}: no out-of-fold score: {error}")
            continue
        names, monitor = group[0].config.data.class_names, group[0].config.train.monitor
        scores = compute_metrics(matrix, names)
        monitor = monitor if monitor in scores else "miou"
        print(
            f"\n{title}: out-of-fold {monitor} {scores[monitor]:.4f}: one confusion matrix of all {images:,} images, "
            "each scored by the model that was not trained on it.\n"
            "It is optimistic in so far as the best epoch of each model was chosen on the images that it is scored on."
        )
        print(format_table(matrix, names))
        folders = shlex.join(str(run.folder) for run in group)
        print(f"ensemble of the folds: python predict.py {folders} IMAGES -o OUTPUT")
        print(f"on a test split, if there is one: python -m segtrain evaluate {folders} --split test")


def sum_matrices(checkpoints: Sequence[dict[str, Any]]) -> tuple[np.ndarray, int]:
    """The confusion matrix of all validation images of the folds, int64 (C, C) or in multilabel (C, 2, 2), and the
    number of images, from their last.pt.

    The folds part the images: every model's training and validation images together are all of them, and so are the
    validation images of all folds together. Raises ValueError where they are not, as when a fold is missing.
    """
    saved = [Saved.model_validate(checkpoint) for checkpoint in checkpoints]
    held_out = sum(each.samples["validation"][0] for each in saved)
    whole = max(sum(number for number, _ in each.samples.values()) for each in saved)
    if held_out != whole:
        raise ValueError(f"these folds hold {held_out:,} of {whole:,} images")
    if not all(each.best.matrix for each in saved):
        raise ValueError("a fold has no evaluation that gave a score")
    return np.sum([each.best.matrix for each in saved], axis=0), held_out
