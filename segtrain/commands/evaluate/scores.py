"""Scores of an evaluation: a model, or predictions that are there, on every image of a split."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from segtrain.commands.evaluate.boundary import count_boundaries
from segtrain.commands.evaluate.compare import PredictedSamples
from segtrain.commands.evaluate.probabilities import count_confidences, count_probabilities
from segtrain.commands.evaluate.source import EvaluatedSplit
from segtrain.data.dataset import Batch, RawSamples
from segtrain.data.loaders import EvalLoader, count_workers
from segtrain.inference.predictor import Predictor
from segtrain.inference.score import Scored, score
from segtrain.inference.task import Task
from segtrain.metrics import class_counts, compute_iou, mean_of_known
from segtrain.visualize import flatten_layers, to_rgb

WORST_IMAGES = 12
SHOWN_SIDE_PX = 512  # the longer side of a picture that is kept for the contact sheet
TIMED_IMAGES = 20


@dataclass(frozen=True)
class Shown:
    """One of the worst images, reduced: `image` HWC uint8 RGB, `mask` and `prediction` HW as pictures take them."""

    name: str
    miou: float
    image: NDArray[np.uint8]
    mask: NDArray
    prediction: NDArray


class Speed(NamedTuple):
    """`images_per_second` of the whole evaluation, from files to scores; milliseconds for one decoded image at a time,
    from the array to its prediction: the median, and what nine of ten do not exceed."""

    images_per_second: float
    median_ms: float
    p90_ms: float


@dataclass(frozen=True)
class Scores:
    """All that is counted. N images, C classes.

    `matrix` is the confusion matrix, (C, C), or (C, 2, 2) in multilabel. `regions` and `boundaries` are counts of each
    image, (N, 3, C), see class_counts. `calibration` is what count_confidences and `histogram` what count_probabilities
    counts, None where that was not asked for. `worst` begins with the worst. `speed` is that of a model.
    """

    names: list[str]
    matrix: NDArray[np.int64]
    regions: NDArray[np.int64]
    boundaries: NDArray[np.int64]
    calibration: NDArray | None
    histogram: NDArray | None
    worst: list[Shown]
    speed: Speed | None = None


def score_model(predictor: Predictor, split: EvaluatedSplit, task: Task, *, batch_size: int, tune: bool) -> Scores:
    """Predict and score every image of a split at its original size. Raises DataError for a file that is wrong.

    Args:
        predictor: the models.
        split: the images and masks.
        task: what to count, with the ignore_index of the masks.
        batch_size: images in a batch, of which those of one size are predicted together.
        tune: count what tuning thresholds needs.
    """
    dataset = RawSamples(split.samples, split.decoder, image_options=task.image_options)
    workers = count_workers(split.config.data.workers, predictor.device.type)
    times_ms = _time_images(predictor, dataset)
    started = time.perf_counter()
    scores = _score(
        predictor.predict_group,
        EvalLoader(dataset, batch_size=batch_size, workers=workers, pin_memory=False),
        Scorer(task, tune=tune),
        device=predictor.device,
    )
    images_per_second = len(dataset) / (time.perf_counter() - started)
    median_ms, p90_ms = np.percentile(times_ms, (50, 90)).tolist()
    return replace(scores, speed=Speed(images_per_second, median_ms, p90_ms))


def score_predictions(folder: Path, split: EvaluatedSplit, task: Task) -> Scores:
    """Score PNG files, see compare.py. Raises DataError for what is missing, left over or wrong."""
    dataset = PredictedSamples(folder, split.samples, split.decoder, task)
    workers = count_workers(split.config.data.workers, "cpu")
    loader = EvalLoader(dataset, batch_size=1, workers=workers, pin_memory=False)
    return _score(lambda batch: (batch["prediction"], None), loader, Scorer(task), device=torch.device("cpu"))


def _score(
    predict: Callable[[Batch], tuple[Tensor, Tensor | None]],
    loader: EvalLoader,
    scorer: "Scorer",
    *,
    device: torch.device,
) -> Scores:
    """A thread of its own adds up what was predicted while the next batch is."""
    images = len(loader.dataset)
    with (
        ThreadPoolExecutor(1) as pool,
        tqdm(total=images, desc="evaluating", unit=" images", disable=None, leave=False) as bar,
    ):
        adding: Future = pool.submit(lambda: None)

        def see(scored: Scored) -> None:
            nonlocal adding
            adding.result()
            adding = pool.submit(scorer.add, scored)
            bar.update(len(scored.mask))

        matrix = score(predict, loader, scorer.task, device=device, see=see)
        adding.result()
    return scorer.result(matrix)


def _time_images(predictor: Predictor, dataset: RawSamples) -> list[float]:
    """Milliseconds for each of some images, evenly over the split. The first one is predicted once before, for what
    happens only once."""
    times_ms: list[float] = []
    for index in np.linspace(0, len(dataset) - 1, min(TIMED_IMAGES, len(dataset))).astype(int).tolist():
        image, _ = dataset.load(index)
        if not times_ms:
            predictor.predict(image)
        started = time.perf_counter()
        predictor.predict(image)  # ends in an array: nothing is left waiting on the device
        times_ms.append(1000 * (time.perf_counter() - started))
    return times_ms


class Scorer:
    """Takes scored groups in, keeps a few numbers of each image, and pictures of the worst.

    Args:
        task: the classes, and the mask value that is counted nowhere.
        tune: count what tuning thresholds needs.
    """

    def __init__(self, task: Task, *, tune: bool = False):
        self.task = task
        self.tune = tune
        self._counts: list[tuple[str, NDArray, NDArray]] = []  # name, regions, boundaries
        self._calibration = self._histogram = None
        self._worst: list[Shown] = []

    def add(self, scored: Scored) -> None:
        """Count a group of RawSamples; its `outputs` are confidences as Predictor.predict_group gives them."""
        task, masks, images = self.task, scored.batch["mask"].numpy(), scored.batch["image"].numpy()
        predictions, matrices = scored.prediction.cpu().numpy(), scored.matrices.cpu().numpy()
        confidences = None if scored.outputs is None else scored.outputs.cpu().numpy()
        for index, (name, mask, prediction) in enumerate(zip(scored.batch["name"], masks, predictions, strict=True)):
            regions = class_counts(matrices[index])
            boundaries = count_boundaries(prediction, mask, classes=len(task.names), ignore_index=task.ignore_index)
            self._counts.append((name, regions, boundaries))
            if confidences is not None:
                self._add_confidence(mask, prediction, confidences[index])
            self._show(name, float(mean_of_known(compute_iou(regions))), images[index], mask, prediction)

    def result(self, matrix: NDArray[np.int64]) -> Scores:
        """What was counted, after the last group; `matrix` is that of the whole."""
        names, regions, boundaries = zip(*sorted(self._counts, key=lambda item: item[0]), strict=True)
        return Scores(
            list(names),
            matrix,
            np.stack(regions),
            np.stack(boundaries),
            self._calibration,
            self._histogram,
            self._worst,
        )

    def _add_confidence(self, mask: NDArray, prediction: NDArray, confidence: NDArray[np.float32]) -> None:
        layers = mask if mask.ndim == 3 else mask[None]
        right = layers == (prediction[None] if self.task.mode == "multiclass" else 1)
        known = layers != self.task.ignore_index
        counted = count_confidences(confidence, right, known)
        self._calibration = counted if self._calibration is None else self._calibration + counted
        if self.tune:
            counted = count_probabilities(confidence, right, known)
            self._histogram = counted if self._histogram is None else self._histogram + counted

    def _show(self, name: str, miou: float, image: NDArray, mask: NDArray, prediction: NDArray) -> None:
        """Keep the pictures of an image if it is among the worst so far; one without a counted pixel is not."""
        if math.isnan(miou) or (len(self._worst) == WORST_IMAGES and miou >= self._worst[-1].miou):
            return
        if mask.ndim == 3:
            mask, prediction = (
                flatten_layers(layers, ignore_index=self.task.ignore_index) for layers in (mask, prediction)
            )
        shown = Shown(name, miou, *(_reduce(picture) for picture in (to_rgb(image), mask, prediction)))
        self._worst = sorted([*self._worst, shown], key=lambda item: item.miou)[:WORST_IMAGES]


def _reduce(picture: NDArray) -> NDArray:
    """Rows and columns left out, so that no index is invented, as a copy."""
    step = max(1, math.ceil(max(picture.shape[:2]) / SHOWN_SIDE_PX))
    return picture[::step, ::step].copy()
