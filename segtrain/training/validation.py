"""TODO."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from segtrain.command import Stopped
from segtrain.config.schema import TrainConfig
from segtrain.data.loaders import EvalLoader, Loaders
from segtrain.inference.network import TorchNetwork, activate
from segtrain.inference.predictor import Predictor
from segtrain.inference.views import resize_probabilities
from segtrain.losses.weighted import WeightedLoss
from segtrain.metrics import ConfusionMatrix, LayerConfusion, compute_metrics
from segtrain.training.run import Run
from segtrain.training.state import Best, TrainState
from segtrain.visualize import compare_panel, flatten_layers, to_rgb


@dataclass
class Panel:
    """A validation image as it is shown: HWC uint8 RGB, HW masks, and the picture that compares them."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray
    panel: np.ndarray


@dataclass
class Evaluation:
    """Result of one pass over a split: the confusion matrix (C, C) int64, rows ground truth, or (C, 2, 2) in
    multilabel, and the mean loss."""

    matrix: np.ndarray
    loss: float
    panels: list[Panel] = field(default_factory=list)


def evaluate(
    network: TorchNetwork,
    loader: EvalLoader,
    loss: WeightedLoss,
    *,
    epoch: int,
    run: Run,
    title: str,
    shown: Sequence[str] = (),
) -> Evaluation:
    """Predict a split at the original size of its images; those named in `shown` come back as pictures."""
    predictor, task = Predictor([network]), network.task
    count_pixels = LayerConfusion if task.mode == "multilabel" else ConfusionMatrix
    confusion = count_pixels(len(task.names), ignore_index=task.ignore_index, device=network.device)
    loss_sum, count, panels = torch.zeros((), device=network.device), 0, []
    with run.log.progress(len(loader), title=title) as progress:
        asked = time.monotonic()
        for groups in loader:
            waited = time.monotonic() - asked
            for batch in groups:
                mask = batch["mask"].to(network.device, non_blocking=True).long()
                size, logits = mask.shape[-2:], network.logits(batch["image"])
                prediction = predictor.labels(resize_probabilities(activate(logits, task.mode), size))
                confusion.update(prediction, mask)
                loss_sum += loss(resize_probabilities(logits, size), mask, epoch)[0].detach() * len(mask)
                count += len(mask)
                chosen = [place for place, name in enumerate(batch["name"]) if name in shown]
                panels += [_panel(batch, prediction, place, run) for place in chosen]
            progress.update(images=sum(len(batch["name"]) for batch in groups), loss=None, wait_seconds=waited)
            run.stop_if_asked()
            asked = time.monotonic()
    return Evaluation(confusion.matrix.numpy(), float(loss_sum) / max(count, 1), panels)


def _panel(batch: dict, prediction: Tensor, place: int, run: Run) -> Panel:
    data = run.config.data
    name, mask = batch["name"][place], batch["mask"][place].numpy()
    image = to_rgb(batch["image"][place].permute(1, 2, 0).numpy())
    predicted = prediction[place].cpu().numpy()
    if data.multilabel:
        mask, predicted = (flatten_layers(layers, ignore_index=data.ignore_index) for layers in (mask, predicted))
    if image.shape[:2] != mask.shape:
        image = cv2.resize(image, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    picture = compare_panel(
        image, mask, predicted, names=data.picture_names, colors=run.colors, ignore_index=data.ignore_index
    )
    return Panel(name, image, mask, predicted, picture)


def evaluate_all(
    state: TrainState, loaders: Loaders, loss: WeightedLoss, config: TrainConfig, run: Run
) -> tuple[Evaluation, dict[str, float]]:
    """The validation set, and the training set where asked: the evaluation of the first, the values of both.

    Where a signal comes in meanwhile, the epoch is saved as trained but not evaluated.
    """
    network = TorchNetwork(state.evaluated, run.config, device=state.device, dtype=state.dtype)
    names = run.config.data.class_names
    started = time.monotonic()
    shown = run.shown_names(loaders.val, final=state.epoch + 1 == config.epochs)
    arguments = {"epoch": state.epoch, "run": run}
    try:
        evaluation = evaluate(network, loaders.val, loss, title="validation", shown=shown, **arguments)
        val_seconds = time.monotonic() - started
        on_train = None
        if config.eval_train:
            on_train = evaluate(network, loaders.train_eval, loss, title="training set", **arguments)
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
    """Keep the evaluation if it is the best so far, by the metric `monitor`; whether it is."""
    score = values[f"val/{monitor}"]
    if not score > state.best.score:  # a nan is no improvement
        state.best.evaluations_since += 1
        return False
    metrics = {name: float(value) for name, value in values.items() if name.startswith("val/")}
    state.best = Best(float(score), state.epoch + 1, metrics, evaluation.matrix.tolist())
    return True
