"""Prediction pipeline: images are read, predicted and written at the same time."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from segtrain.commands.predict.result import Result
from segtrain.errors import DataError, is_out_of_memory
from segtrain.images.reading import image_size
from segtrain.inference.prediction import label_dtype
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.inference.uncertainty import Uncertainty, measure_pixels, reduce_pixels
from segtrain.memory import read_available_bytes, show_bytes

THREADS = min(os.cpu_count() or 2, 8)  # for reading, and as many for writing
IN_FLIGHT_BYTES = 2**29  # images and results between reading and writing
AHEAD_IMAGES = 32  # images that are read in advance
BATCH_BYTES = 2**30  # probabilities of a batch
SAFE_PX = 2**24  # larger images are only read if there is enough memory
NICE = 10  # how much lower the priority of the reading and writing threads is than the network's
LEAST_CHANNELS = 32  # every network has at least so many float32 channels of full size in memory

# image, labels, probabilities, and the means and map of the uncertainty
Computed = tuple[np.ndarray, Tensor, Tensor | None, tuple[Tensor, Tensor] | None]


def helping_threads(count: int, device: torch.device) -> ThreadPoolExecutor:
    """Threads that read and write while the network computes on `device`. If that is the CPU, they have a lower
    priority.

    A network's threads wait for one another after every operation, so one that has to wait for a core delays all of
    them. With equal priorities, reading and writing would cost twice their time.
    """
    # On other systems than Linux, the priority would be that of the whole process.
    in_its_way = device.type == "cpu" and sys.platform == "linux"
    return ThreadPoolExecutor(count, initializer=_step_back if in_its_way else None)


def _step_back() -> None:
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + NICE, 19))


class ImageSource(NamedTuple):
    """An image to be predicted. `path` and `name` are those of Result; `size` is height and width in pixels. `read`
    returns it as read_image does, or None at the end of a video; it raises DataError. If there is a `fault`, the image
    is not read, and its size is (0, 0)."""

    path: Path
    name: Path
    size: tuple[int, int]
    read: Callable[[], np.ndarray | None]
    fault: DataError | None = None

    def load(self) -> np.ndarray | DataError | None:
        """What `read` returns or raises, or the fault."""
        try:
            return self.fault or self.read()
        except DataError as error:
            return error
        except MemoryError:
            height, width = self.size
            reason = f"there is not enough memory to read {width} x {height} pixels"
            return DataError(f"{self.path}: {reason}")


def image_source(path: Path, name: Path, read: Callable[[], np.ndarray]) -> ImageSource:
    """The source of an image file. An error in its header is raised when it is read."""
    try:
        return ImageSource(path, name, image_size(path), read)
    except DataError as error:
        return ImageSource(path, name, (0, 0), read, error)


def predict_stream(
    predictor: Predictor,
    sources: Iterable[ImageSource],
    handle: Callable[[Result], Any],
    *,
    with_probabilities: bool,
    with_uncertainty: bool = False,
    readers: int = THREADS,
    writers: int = THREADS,
) -> Iterator[tuple[ImageSource, Any]]:
    """Predict images. They are read in `readers` threads and handled in `writers` threads while others are predicted.

    Consecutive images of the same size form batches. Memory is limited by IN_FLIGHT_BYTES, or by one batch if that
    needs more.

    Yields each source, in order, with what `handle` returned, or with a DataError if the image cannot be read or
    predicted. An error in `handle` stops everything, as does closing the iterator. Both wait for the threads.
    """
    batches = _group(sources, predictor, with_probabilities=with_probabilities)
    compute = partial(_compute, predictor, with_probabilities=with_probabilities, with_uncertainty=with_uncertainty)
    reading: deque[tuple[_Batch, list[Future]]] = deque()
    writing: deque[tuple[_Batch, Future]] = deque()
    upcoming = next(batches, None)

    def may_begin() -> bool:
        taken = sum(batch.bytes for batch, _ in (*reading, *writing))
        ahead = sum(len(batch.sources) for batch, _ in reading)
        fits = taken + upcoming.bytes <= IN_FLIGHT_BYTES and ahead < AHEAD_IMAGES
        return fits or not (reading or writing)

    with helping_threads(readers, predictor.device) as read, helping_threads(writers, predictor.device) as write:
        try:
            while upcoming or reading or writing:
                while upcoming and may_begin():
                    reading.append((upcoming, [read.submit(source.load) for source in upcoming.sources]))
                    upcoming = next(batches, None)
                if reading:
                    batch, futures = reading.popleft()
                    outcomes = _predict(compute, batch.sources, futures)
                    writing.append((batch, write.submit(_handle_all, batch.sources, outcomes, predictor.task, handle)))
                while writing and (writing[0][1].done() or not reading):
                    batch, future = writing.popleft()
                    values = zip(batch.sources, future.result(), strict=True)
                    yield from ((source, value) for source, value in values if value is not None)
                    if upcoming:
                        break  # there may be room to read again
        finally:
            for threads in (read, write):
                threads.shutdown(wait=False, cancel_futures=True)


class _Batch(NamedTuple):
    """Images of the same size, and the memory that they and their results need between reading and writing."""

    sources: list[ImageSource]
    bytes: int


def _group(sources: Iterable[ImageSource], predictor: Predictor, *, with_probabilities: bool) -> Iterator[_Batch]:
    """Batches of consecutive images of the same size."""
    task = predictor.task
    layers = len(task.names) if task.mode == "multilabel" else 1
    bytes_per_px = task.channels * (1 if task.scale is None else 4) + layers + 6  # 6: colors and overlay
    bytes_per_px += 4 * task.outputs if with_probabilities else 0
    checked = (_refuse_too_large(source, predictor) for source in sources)
    for (height, width), alike in groupby(checked, key=lambda source: source.size):
        pixels, given = height * width, predictor.count_pixels((height, width))
        most = min(predictor.options.batch_size, max(BATCH_BYTES // max(4 * task.outputs * given, 1), 1))
        while batch := list(islice(alike, most)):
            yield _Batch(batch, len(batch) * pixels * bytes_per_px)


def _refuse_too_large(source: ImageSource, predictor: Predictor) -> ImageSource:
    """A small file may contain an image that does not fit into memory; the system would kill the process for it."""
    height, width = source.size
    tile, outputs = predictor.options.tile_px, predictor.task.outputs
    pixels = tile * max(width, tile) if tile else predictor.count_pixels(source.size)
    if pixels <= SAFE_PX or predictor.device.type != "cpu":
        return source
    needed = 4 * pixels * (outputs if tile else 2 * outputs + LEAST_CHANNELS)  # with tiles, of one row of tiles
    free = read_available_bytes()
    if free is None or needed <= free:
        return source
    what = f"{width} x {height} pixels need at least {show_bytes(needed)} of memory, but {show_bytes(free)} are free"
    fix = "a smaller --tile" if tile else "--tile 512"
    return source._replace(size=(0, 0), fault=DataError(f"{source.path}: {what}; write {fix}"))


def _predict(
    compute: Callable[[list[np.ndarray]], list[Computed | str]],
    sources: Sequence[ImageSource],
    futures: Sequence[Future],
) -> list[Computed | DataError | None]:
    outcomes: list[Any] = [future.result() for future in futures]
    images = {index: outcome for index, outcome in enumerate(outcomes) if isinstance(outcome, np.ndarray)}
    computed = compute(list(images.values())) if images else []
    for index, result in zip(images, computed, strict=True):
        outcomes[index] = DataError(f"{sources[index].path}: {result}") if isinstance(result, str) else result
    return outcomes


def _compute(
    predictor: Predictor, images: list[np.ndarray], *, with_probabilities: bool, with_uncertainty: bool
) -> list[Computed | str]:
    """Tensors on the device, which may still be computing, or the reason why an image fails. If a batch fails, its
    images are tried one by one."""
    dtype, nothing = label_dtype(predictor.task), [None] * len(images)
    functions = [lambda probabilities: predictor.labels(probabilities).to(dtype)]
    if with_uncertainty:
        functions.append(lambda probabilities: measure_pixels(probabilities, predictor.task.mode))
    try:
        probabilities = predictor.probabilities(images) if with_probabilities else None
        if probabilities is None:
            labels, *measured = predictor.apply_to_batch(images, *functions)
        else:
            labels, *measured = (function(probabilities) for function in functions)
        reduced = map(reduce_pixels, measured[0]) if with_uncertainty else nothing
        return list(zip(images, labels, nothing if probabilities is None else probabilities, reduced, strict=True))
    except DataError as error:
        reason = str(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        height, width = images[0].shape[:2]
        fix = "--tile 512" if predictor.options.tile_px is None else "a smaller --tile or --batch-size"
        reason = f"there is not enough memory to predict {width} x {height} pixels; write {fix}"
    if len(images) == 1:
        return [reason]
    wanted = {"with_probabilities": with_probabilities, "with_uncertainty": with_uncertainty}
    return [_compute(predictor, [image], **wanted)[0] for image in images]


def _handle_all(
    sources: Sequence[ImageSource],
    outcomes: Sequence[Computed | DataError | None],
    task: Task,
    handle: Callable[[Result], Any],
) -> list[Any]:
    values = list(outcomes)
    for index, (source, outcome) in enumerate(zip(sources, outcomes, strict=True)):
        if isinstance(outcome, tuple):
            image, labels, probabilities, measured = outcome
            on_host = None if probabilities is None else probabilities.cpu().numpy()
            uncertainty = None if measured is None else _on_host(*measured)
            result = Result(source.path, source.name, task, image, labels.cpu().numpy(), on_host, uncertainty)
            values[index] = handle(result)
    return values


def _on_host(means: Tensor, entropies: Tensor) -> Uncertainty:
    return Uncertainty(*means.tolist(), entropies.cpu().numpy())
