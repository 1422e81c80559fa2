"""Batcher: one thread that predicts waiting images together."""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from segtrain.commands.predict.result import label_dtype
from segtrain.inference.predictor import Predictor


@dataclass(eq=False)
class Job:
    """An image that waits, HWC as read_image gives it, and the labels to come, as Result has them."""

    image: np.ndarray
    labels: Future[np.ndarray]


class Batcher:
    """The only user of a Predictor. Images of one size that wait at the same time are predicted together.

    Args:
        predictor: its options.batch_size is the largest batch.
        max_pixels: pixels of all images of a batch; an image alone may have more.

    `images` and `batches` count what has been predicted.
    """

    def __init__(self, predictor: Predictor, *, max_pixels: int):
        self.images = 0
        self.batches = 0
        self._predictor = predictor
        self._max_pixels = max_pixels
        self._dtype = label_dtype(predictor.task)
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="predictor", daemon=True)
        self._thread.start()

    def submit(self, image: np.ndarray) -> Future[np.ndarray]:
        """The labels of an image, to come, as Result has them."""
        job = Job(image, Future())
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return job.labels

    def close(self) -> None:
        """Predict what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            self._predict([job for job in batch if job.labels.set_running_or_notify_cancel()])

    def _take(self) -> list[Job] | None:
        """The image that has waited longest and others of its size; None where the thread shall end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return None
            shape = self._jobs[0].image.shape
            most = min(self._predictor.options.batch_size, max(self._max_pixels // (shape[0] * shape[1]), 1))
            batch = [job for job in self._jobs if job.image.shape == shape][:most]
            for job in batch:
                self._jobs.remove(job)
            return batch

    def _predict(self, batch: list[Job]) -> None:
        if not batch:  # all were cancelled
            return
        try:
            labels = self._predictor.label_batch([job.image for job in batch], dtype=self._dtype).cpu().numpy()
        except Exception as error:
            if len(batch) == 1:
                batch[0].labels.set_exception(error)
                return
            for job in batch:  # what one image does must not fall on the others
                self._predict([job])
            return
        self.images += len(batch)
        self.batches += 1
        for job, label in zip(batch, labels, strict=True):
            job.labels.set_result(label)
