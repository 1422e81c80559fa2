"""Scores of an evaluation: a model, or existing predictions, on every image of a split."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

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
from segtrain.data.loaders import EvalLoader
from segtrain.data.workers import count_workers
from segtrain.distributed import join_lists, rank, size
from segtrain.errors import TrainingError, is_out_of_memory
from segtrain.inference.predictor import Predictor
from segtrain.inference.score import Scored, score
from segtrain.inference.task import Task
from segtrain.metrics import class_counts, compute_iou, mean_of_known
from segtrain.visualize import flatten_both, to_rgb

WORST_IMAGES = 12
SHOWN_SIDE_PX = 512  # the longer side of a picture that is kept for the contact sheet
TIMED_IMAGES = 20


class Shown(NamedTuple):
    """One of the worst images, reduced: `image` HWC uint8 RGB, `mask` and `prediction` HW indices of picture_names,
    `wrong` HW bool."""

    name: str
    miou: float
    image: NDArray[np.uint8]
    mask: NDArray
    prediction: NDArray
    wrong: NDArray[np.bool_]


class Scores:
    """The counts of a split, added group by group. N images, C classes.

    Args:
        task: the classes, and the mask value that is counted nowhere.
        tune: count what tuning thresholds needs.
        kept: images whose pictures are kept, the worst ones.

    `matrix` is the confusion matrix, (C, C), or (C, 2, 2) in multilabel. `regions` and `boundaries` are the counts of
    each image, (N, 3, C) int64, see class_counts, in the order of `names`. `calibration` holds the counts of
    count_confidences (None where there are no probabilities), `histogram` those of count_probabilities (None without
    `tune`). `worst` begins with the worst image. `speed` is that of the model, empty where none was run:
    images_per_second of the whole evaluation, from files to scores; image_ms_median and image_ms_p90, milliseconds from
    one decoded image to its prediction.
    """

    matrix: NDArray[np.int64]
    names: list[str]
    regions: NDArray[np.int64]
    boundaries: NDArray[np.int64]

    def __init__(self, task: Task, *, tune: bool = False, kept: int = WORST_IMAGES):
        self.task = task
        self.tune = tune
        self.kept = kept
        self.calibration: NDArray | None = None
        self.histogram: NDArray | None = None
        self.worst: list[Shown] = []
        self.speed: dict[str, float] = {}
        self._images: list[tuple[str, NDArray, NDArray]] = []  # name, regions, boundaries

    def add(self, scored: Scored) -> None:
        """Count a group of RawSamples; its `outputs` are confidences as Predictor.predict_group gives them."""
        options = {"classes": len(self.task.names), "ignore_index": self.task.ignore_index}
        masks, images = scored.batch["mask"].numpy(), scored.batch["image"].numpy()
        predictions, matrices = scored.prediction.cpu().numpy(), scored.matrices.cpu().numpy()
        confidences = None if scored.outputs is None else scored.outputs.cpu().numpy()
        for index, (name, mask, prediction) in enumerate(zip(scored.batch["name"], masks, predictions, strict=True)):
            regions = class_counts(matrices[index])
            self._images.append((name, regions, count_boundaries(prediction, mask, **options)))
            if confidences is not None:
                self._add_confidence(mask, prediction, confidences[index])
            self._show(name, float(mean_of_known(compute_iou(regions))), images[index], mask, prediction)

    def finish(self, matrix: NDArray[np.int64]) -> "Scores":
        """Sort the counts by name and return the scores; `matrix` is that of all images. Of several processes the first
        gets what the others have counted."""
        for other in join_lists([self])[1:]:
            self._images += other._images
            self.calibration = _add(self.calibration, other.calibration)
            self.histogram = _add(self.histogram, other.histogram)
            self.worst = sorted([*self.worst, *other.worst], key=lambda item: item.miou)[: self.kept]
        if rank():
            return self
        names, regions, boundaries = zip(*sorted(self._images, key=lambda item: item[0]), strict=True)
        self.matrix, self.names = matrix, list(names)
        self.regions, self.boundaries = np.stack(regions), np.stack(boundaries)
        return self

    def _add_confidence(self, mask: NDArray, prediction: NDArray, confidence: NDArray[np.float32]) -> None:
        layers = mask if mask.ndim == 3 else mask[None]
        right = layers == (prediction[None] if self.task.mode == "multiclass" else 1)
        known = layers != self.task.ignore_index
        counted = count_confidences(confidence, right, known)
        self.calibration = _add(self.calibration, counted)
        if self.tune:
            counted = count_probabilities(confidence, right, known)
            self.histogram = _add(self.histogram, counted)

    def _show(self, name: str, miou: float, image: NDArray, mask: NDArray, prediction: NDArray) -> None:
        """Keep the pictures of an image that is among the worst so far; an image without a counted pixel never is."""
        if math.isnan(miou) or (len(self.worst) == self.kept and miou >= self.worst[-1].miou):
            return
        mask, prediction, wrong = flatten_both(mask, prediction, ignore_index=self.task.ignore_index)
        step = max(1, math.ceil(max(mask.shape) / SHOWN_SIDE_PX))  # rows left out: no index is invented
        pictures = (picture[::step, ::step].copy() for picture in (to_rgb(image), mask, prediction, wrong))
        self.worst = sorted([*self.worst, Shown(name, miou, *pictures)], key=lambda item: item.miou)[: self.kept]


def _add(one: NDArray | None, other: NDArray | None) -> NDArray | None:
    """The sum of two counts, of which either may not have begun."""
    return other if one is None else one if other is None else one + other


def score_model(
    predictor: Predictor,
    split: EvaluatedSplit,
    task: Task,
    *,
    batch_size: int,
    tune: bool,
    kept: int = WORST_IMAGES,
) -> Scores:
    """Predict and score every image of a split at its original size. Raises DataError for a file that is wrong, and
    TrainingError, with the flags to change, where memory runs out.

    Args:
        predictor: the models.
        split: the images and masks.
        task: the classes, with the ignore_index of the masks.
        batch_size: images in a batch, of which those of one size are predicted together.
        tune: count what tuning thresholds needs.
        kept: images whose pictures are kept, the worst ones.
    """
    dataset = RawSamples(split.samples, split.decoder, image_options=task.image_options)
    workers = count_workers(split.config.data.workers, predictor.device.type)
    loader = EvalLoader(dataset, batch_size=batch_size, workers=workers, pin_memory=False)
    try:
        median_ms, p90_ms = np.percentile(_time_images(predictor, dataset), (50, 90)).tolist()
        started = time.perf_counter()
        scores = _score(predictor.predict_group, loader, Scores(task, tune=tune, kept=kept), device=predictor.device)
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one of the latter
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"not enough memory ({' '.join(str(error).split())[:120]}); lower --batch-size (now {batch_size}) or "
            f"predict tiles with --tile 512"
        ) from error
    images_per_second = len(dataset) / (time.perf_counter() - started)
    scores.speed = {"images_per_second": images_per_second, "image_ms_median": median_ms, "image_ms_p90": p90_ms}
    return scores


def score_predictions(folder: Path, split: EvaluatedSplit, task: Task, **options: Any) -> Scores:
    """Score PNG files, see PredictedSamples. Raises DataError for those that are missing, left over or wrong."""
    dataset = PredictedSamples(folder, split.samples, split.decoder, task, **options)
    workers = count_workers(split.config.data.workers, "cpu")
    loader = EvalLoader(dataset, batch_size=1, workers=workers, pin_memory=False)
    return _score(lambda batch: (batch["prediction"], None), loader, Scores(task), device=torch.device("cpu"))


def _score(
    predict: Callable[[Batch], tuple[Tensor, Tensor | None]],
    loader: EvalLoader,
    scores: Scores,
    *,
    device: torch.device,
) -> Scores:
    """Score all batches; a thread adds a group to the scores while the next one is predicted."""
    images = len(loader.dataset)
    with (
        ThreadPoolExecutor(1) as pool,
        tqdm(total=images, desc="evaluating", unit=" images", disable=True if rank() else None, leave=False) as bar,
    ):
        adding: Future = pool.submit(lambda: None)

        def see(scored: Scored) -> None:
            nonlocal adding
            adding.result()
            adding = pool.submit(scores.add, scored)
            bar.update(size() * len(scored.mask))

        matrix = score(predict, loader, scores.task, device=device, see=see)
        adding.result()
    return scores.finish(matrix)


def _time_images(predictor: Predictor, dataset: RawSamples) -> list[float]:
    """Milliseconds for each of some images, spread evenly over the split. The first one is predicted once more before,
    as a warm-up."""
    times_ms: list[float] = []
    for index in np.linspace(0, len(dataset) - 1, min(TIMED_IMAGES, len(dataset))).astype(int).tolist():
        image, _ = dataset.load(index)
        if not times_ms:
            predictor.predict(image)
        started = time.perf_counter()
        predictor.predict(image)  # ends in an array: nothing is left waiting on the device
        times_ms.append(1000 * (time.perf_counter() - started))
    return times_ms
