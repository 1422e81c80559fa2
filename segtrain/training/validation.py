"""Validation during a training: a split is scored, its loss is measured, and some of its images are drawn.

`evaluate_all` returns the values of one row of metrics.csv. Counting is the loop of inference.score, which `python -m
segtrain evaluate` shares; a training also needs the loss, from the same logits, the pictures, and an orderly end when a
signal comes.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from segtrain.command import Stopped
from segtrain.config.schema import TrainConfig
from segtrain.data.dataset import Batch
from segtrain.data.loaders import EvalLoader, Loaders
from segtrain.distributed import from_first, join_lists, share, size, sum_all
from segtrain.inference.network import TorchNetwork, activate, choose_labels, resize_probabilities
from segtrain.inference.score import Scored, score
from segtrain.losses.weighted import WeightedLoss
from segtrain.metrics import compute_metrics
from segtrain.training.run import Run
from segtrain.training.state import Best, TrainState, is_lowest, read_score
from segtrain.visualize import Panel, compare_panel, flatten_both, to_rgb


@dataclass
class Evaluation:
    """One pass over a split: the confusion matrix (C, C) int64, rows ground truth, or (C, 2, 2) in multilabel, the mean
    loss per image (NaN if no term of the loss uses logits), and the pictures that were requested."""

    matrix: np.ndarray
    loss: float
    panels: list[Panel]


def evaluate_split(
    network: TorchNetwork,
    loader: EvalLoader,
    loss: WeightedLoss,
    *,
    epoch: int,
    run: Run,
    title: str,
    shown: Sequence[str] = (),
) -> Evaluation:
    """Score a split at the original size of its images; return those in `shown` as pictures. Raises Stopped after a
    signal."""
    task, panels = network.task, []
    loss_sum = torch.zeros((), device=network.device)

    def predict(batch: Batch) -> tuple[Tensor, Tensor]:
        logits = network.logits(batch["image"])
        probabilities = resize_probabilities(activate(logits, task.mode), batch["mask"].shape[-2:])
        return choose_labels(probabilities, task), logits

    def see(scored: Scored) -> None:
        logits = resize_probabilities(scored.outputs, scored.mask.shape[-2:])
        total, terms = loss(logits, scored.mask, epoch)
        # Where no term has a value there is no loss either: 0 would be the best of all.
        loss_sum.add_(total.detach() * len(scored.mask) if terms else float("nan"))
        names = scored.batch["name"]
        panels.extend(_draw(scored, index, run) for index, name in enumerate(names) if name in shown)

    matrix = score(predict, _watched(loader, run, title), task, device=network.device, see=see)
    return Evaluation(matrix, float(sum_all(loss_sum)) / len(loader.dataset), join_lists(panels))


def _watched(loader: EvalLoader, run: Run, title: str) -> Iterator[list[Batch]]:
    """The batches, with a progress bar; raises Stopped between two of them if a signal came in."""
    with run.log.progress(len(loader), title=title) as progress:
        asked = time.monotonic()
        for groups in loader:
            waited = time.monotonic() - asked
            yield groups
            images = size() * sum(len(batch["name"]) for batch in groups)
            progress.update(images=images, loss=None, wait_seconds=waited)
            run.stop_if_asked()
            asked = time.monotonic()


def _draw(scored: Scored, index: int, run: Run) -> Panel:
    task, batch = run.task, scored.batch
    image = to_rgb(batch["image"][index].permute(1, 2, 0).numpy())
    mask, prediction = batch["mask"][index].numpy(), scored.prediction[index].cpu().numpy()
    mask, prediction, wrong = flatten_both(mask, prediction, ignore_index=task.ignore_index)
    if image.shape[:2] != mask.shape:
        image = cv2.resize(image, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    picture = compare_panel(
        image, mask, prediction, wrong, names=task.picture_names, colors=task.colors, ignore_index=task.ignore_index
    )
    return Panel(batch["name"][index], image, mask, prediction, picture)


def evaluate_all(
    state: TrainState, loaders: Loaders, loss: WeightedLoss, config: TrainConfig, run: Run, *, final: bool
) -> tuple[Evaluation, dict[str, float]]:
    """Evaluate the validation set and, if configured, the training set: the evaluation of the first, the values of
    both. `final` says that it is the last one.

    If a signal comes in meanwhile, the epoch is saved as trained but not evaluated.
    """
    share(list(state.evaluated.buffers()))  # running statistics are those of each process's own images
    loss.eval()
    network = TorchNetwork(state.evaluated, run.config, device=state.device, dtype=state.dtype)
    names = run.config.data.class_names
    started = time.monotonic()
    shown = from_first(lambda: run.shown_names(loaders.val, final=final))
    arguments = {"epoch": state.epoch, "run": run}
    try:
        evaluation = evaluate_split(network, loaders.val, loss, title="validation", shown=shown, **arguments)
        val_seconds = time.monotonic() - started
        on_train = None
        if config.eval_train:
            on_train = evaluate_split(network, loaders.train_eval, loss, title="training set", **arguments)
    except Stopped:
        run.save_last(state)
        raise
    values = {"val/loss": evaluation.loss}
    values |= {f"val/{name}": value for name, value in compute_metrics(evaluation.matrix, names).items()}
    values["val_seconds"] = val_seconds
    if on_train is not None:
        values |= {f"train/{name}": value for name, value in compute_metrics(on_train.matrix, names).items()}
    return evaluation, values


def note_score(state: TrainState, evaluation: Evaluation, values: dict[str, float], monitor: str) -> bool:
    """Keep the evaluation if it is the best so far, by the metric `monitor`; returns whether it is."""
    score, sign = read_score(values, monitor), -1 if is_lowest(monitor) else 1
    if np.isnan(score) or (state.best.epoch and sign * score <= sign * state.best.score):
        state.best.evaluations_since += 1
        return False
    metrics = {name: float(value) for name, value in values.items() if name.startswith("val/")}
    state.best = Best(float(score), state.epoch + 1, metrics, evaluation.matrix.tolist())
    return True
