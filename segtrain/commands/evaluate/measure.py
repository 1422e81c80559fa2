"""A model, or predictions that are there, on the images of a split."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from segtrain.commands.evaluate.compare import pair_predictions, read_prediction
from segtrain.commands.evaluate.reading import Pair, read_batches
from segtrain.commands.evaluate.scoring import Scorer, Scores
from segtrain.commands.evaluate.source import Subject
from segtrain.data.dataset import read_sample
from segtrain.errors import TrainingError, is_out_of_memory
from segtrain.formats.sample import Sample
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task

TIMED_IMAGES = 20


class Speed(NamedTuple):
    """`images_per_second` of the whole evaluation, from files to scores; milliseconds for one decoded image at a time,
    from the array to its prediction: the median, and what nine of ten do not exceed."""

    images_per_second: float
    median_ms: float
    p90_ms: float


Predict = Callable[[Sequence[Pair]], tuple[Tensor, Tensor | None]]


def score_model(predictor: Predictor, subject: Subject, *, batch_size: int, tune: bool) -> tuple[Scores, Speed]:
    """Predict and score every image of a split at its original size. Raises DataError for a file that is wrong."""
    options = predictor.task.image_options

    def read(sample: Sample) -> Pair:
        return Pair(sample.name, *read_sample(sample, subject.decoder, options))

    times_ms = _time_images(predictor, (read(sample).image for sample in _spread(subject.samples)))
    scorer = Scorer(predictor.task, ignore_index=subject.decoder.ignore_index, tune=tune)
    started = time.perf_counter()
    batches = read_batches(subject.samples, read, batch_size=batch_size)
    _score(batches, lambda pairs: predict_pairs(predictor, pairs), scorer, total=len(subject.samples))
    seconds = time.perf_counter() - started
    median, p90 = np.percentile(times_ms, (50, 90))
    return scorer.result(), Speed(len(subject.samples) / seconds, float(median), float(p90))


def predict_pairs(predictor: Predictor, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor | None]:
    """Prediction and confidence, as Scorer takes them, of images of one size."""
    probabilities = predictor.probabilities([pair.image for pair in pairs])
    prediction = predictor.labels(probabilities)
    if predictor.options.vote or predictor.gives_labels:  # shares of votes are no probabilities
        return prediction, None
    top = predictor.task.mode == "multiclass"
    return prediction, probabilities.amax(1, keepdim=True) if top else probabilities


def score_predictions(folder: Path, subject: Subject, task: Task) -> Scores:
    """Score PNG files, see against.py. Raises DataError for what is missing, left over or wrong."""
    files = pair_predictions(folder, subject.samples, task)
    ignore_index = subject.decoder.ignore_index

    def read(sample: Sample) -> Pair:
        image, mask = read_sample(sample, subject.decoder, task.image_options)
        prediction = read_prediction(files[sample.name], sample.image, mask, task, ignore_index=ignore_index)
        return Pair(sample.name, image, mask, prediction)

    def look_up(pairs: Sequence[Pair]) -> tuple[Tensor, None]:
        return torch.from_numpy(np.stack([pair.prediction for pair in pairs])), None

    scorer = Scorer(task, ignore_index=ignore_index)
    _score(read_batches(subject.samples, read, batch_size=1), look_up, scorer, total=len(subject.samples))
    return scorer.result()


def _score(batches: Iterator[list[Pair]], predict: Predict, scorer: Scorer, *, total: int) -> None:
    """One batch is scored by a thread of its own while the next one is predicted."""
    before: Future | None = None
    with (
        ThreadPoolExecutor(1) as pool,
        tqdm(total=total, desc="evaluating", unit=" images", disable=None, leave=False) as bar,
    ):
        for pairs in batches:
            results = predict(pairs)
            if before is not None:
                before.result()
            before = pool.submit(scorer.add, pairs, *results)
            bar.update(len(pairs))
        if before is not None:
            before.result()


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Some of the samples, evenly over the split."""
    places = np.linspace(0, len(samples) - 1, min(TIMED_IMAGES, len(samples)))
    return [samples[int(place)] for place in places]


def _time_images(predictor: Predictor, images: Iterator[np.ndarray]) -> list[float]:
    """Milliseconds for each image; the first one is predicted once before, for what happens only once."""
    times_ms: list[float] = []
    for image in images:
        if not times_ms:
            predictor.predict(image)
        started = time.perf_counter()
        predictor.predict(image)  # ends in an array: nothing is left waiting on the device
        times_ms.append(1000 * (time.perf_counter() - started))
    return times_ms


@contextmanager
def explained_memory(batch_size: int) -> Iterator[None]:
    """Turn a lack of memory into one line that names the flags that mend it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is one of the latter
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"not enough memory ({' '.join(str(error).split())[:120]}); lower --batch-size (now {batch_size}), or cut "
            "the images into tiles with --tile 512"
        ) from error
