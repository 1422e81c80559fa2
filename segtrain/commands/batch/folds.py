"""Folds of a batch: the out-of-fold score, and the ensemble of their models."""

import shlex
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from segtrain.checkpoint import LAST, load_checkpoint
from segtrain.commands.batch.plan import PlannedRun
from segtrain.errors import CheckpointError, reason_of
from segtrain.metrics import compute_metrics, format_table
from segtrain.training.resume import Saved


def report_folds(runs: Sequence[PlannedRun]) -> None:
    """Print, for each experiment and seed whose folds are all among the finished `runs`, mean and deviation of their
    scores, the out-of-fold score, and the command that predicts with all of their models."""
    groups: dict[tuple[str, int], list[PlannedRun]] = defaultdict(list)
    for run in runs:
        if run.fold is not None:
            groups[run.config.name, run.config.seed].append(run)
    for (name, seed), group in groups.items():
        title, monitor = f"{name}, seed {seed}", group[0].config.train.monitor
        try:
            saved = [Saved.model_validate(load_checkpoint(run.folder / LAST)) for run in group]
            matrix, images = sum_matrices(saved)
        except (CheckpointError, ValueError) as error:
            print(f"\n{title}: no out-of-fold score: {reason_of(error)}")
            continue
        values = [each.best.score for each in saved]
        mean, deviation = np.mean(values), np.std(values, ddof=1)
        print(f"\n{title}: {monitor} of {len(group)} folds: mean {mean:.4f}, standard deviation {deviation:.4f}")
        names = group[0].config.data.class_names
        scores = compute_metrics(matrix, names)
        monitor = monitor if monitor in scores else "miou"
        print(
            f"{title}: out-of-fold {monitor} {scores[monitor]:.4f}: one confusion matrix over all {images:,} images, "
            "each scored by the model that was not trained on it.\n"
            "It is slightly optimistic: the best epoch of each model was chosen on the images that it is scored on."
        )
        print(format_table(matrix, names))
        folders = shlex.join(str(run.folder) for run in group)
        print(f"ensemble of the folds: python predict.py {folders} IMAGES -o OUTPUT")
        print(f"its score on the test split, if there is one: python -m segtrain evaluate {folders} --split test")


def sum_matrices(saved: Sequence[Saved]) -> tuple[np.ndarray, int]:
    """The confusion matrix of all validation images of the folds, int64 (C, C) or in multilabel (C, 2, 2), and the
    number of images, from their last.pt.

    The folds part the images: every model's training and validation images together are all of them, and so are the
    validation images of all folds together. Raises ValueError where they are not, as when a fold is missing.
    """
    held_out = sum(each.samples["validation"][0] for each in saved)
    whole = max(sum(number for number, _ in each.samples.values()) for each in saved)
    if held_out != whole:
        raise ValueError(f"these folds cover {held_out:,} of {whole:,} images")
    if not all(each.best.matrix for each in saved):
        raise ValueError("a fold has no evaluation with a score")
    return np.sum([each.best.matrix for each in saved], axis=0), held_out
