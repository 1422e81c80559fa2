"""Batcher: one thread that predicts waiting images together."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from segtrain.inference.prediction import label_dtype
from segtrain.inference.predictor import Predictor
from segtrain.memory import give_back_memory

HEAVY_PX = 4_000_000  # of a batch: what it took is not kept for the next one


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
        self._waiting: dict[Future[np.ndarray], np.ndarray] = {}  # labels to come -> image
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "predictor")

    def submit(self, image: np.ndarray) -> Future[np.ndarray]:
        """The labels of an image, to come, as Result has them."""
        labels: Future[np.ndarray] = Future()
        with self._lock:
            self._waiting[labels] = image
        self._thread.submit(self._predict_next)
        return labels

    def close(self) -> None:
        """Predict what waits, and end the thread."""
        self._thread.shutdown()

    def _predict_next(self) -> None:
        """Predict the image that has waited longest and others of its size."""
        with self._lock:
            if not self._waiting:  # others took it along
                return
            shape = next(iter(self._waiting.values())).shape[:2]
            pixels = self._predictor.count_pixels(shape)
            most = min(self._predictor.options.batch_size, max(self._max_pixels // pixels, 1))
            alike = [labels for labels, image in self._waiting.items() if image.shape[:2] == shape][:most]
            batch = {labels: self._waiting.pop(labels) for labels in alike}
        self._predict({labels: image for labels, image in batch.items() if labels.set_running_or_notify_cancel()})
        if pixels * len(batch) > HEAVY_PX:
            give_back_memory()

    def _predict(self, batch: dict[Future[np.ndarray], np.ndarray]) -> None:
        if not batch:  # all were canceled
            return
        try:
            predicted = self._predictor.label_batch(list(batch.values()), dtype=self._dtype).cpu().numpy()
        except Exception as error:
            if len(batch) == 1:
                next(iter(batch)).set_exception(error)
                return
            for labels, image in batch.items():  # what one image does must not fall on the others
                self._predict({labels: image})
            return
        self.images += len(batch)
        self.batches += 1
        for labels, label in zip(batch, predicted, strict=True):
            labels.set_result(label)
