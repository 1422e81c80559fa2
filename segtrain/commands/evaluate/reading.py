"""The samples of a split, read ahead while others are predicted, in batches of one size."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np

from segtrain.formats.sample import Sample

THREADS = 4  # of this process: decoding is mostly done outside of Python's lock
AHEAD = 2  # batches that are read before they are needed


class Pair(NamedTuple):
    """One image as it is scored: `image` HWC as read_image gives it; `mask` HW class indices, or CHW layers in
    multilabel; `prediction`, where there is one already, like the mask."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray | None = None


def read_batches(samples: Sequence[Sample], read: Callable[[Sample], Pair], *, batch_size: int) -> Iterator[list[Pair]]:
    """Every sample once, in the groups in which a training evaluates: of `batch_size` that follow one another, those
    of one size together. Raises what `read` raises, in its turn."""
    pairs = _read_ahead(samples, read, count=AHEAD * batch_size)
    while together := list(islice(pairs, batch_size)):
        groups: dict[tuple, list[Pair]] = {}
        for pair in together:
            groups.setdefault((pair.image.shape, pair.mask.shape), []).append(pair)
        yield from groups.values()


def _read_ahead(samples: Sequence[Sample], read: Callable[[Sample], Pair], *, count: int) -> Iterator[Pair]:
    pool = ThreadPoolExecutor(THREADS)
    waiting: deque[Future[Pair]] = deque()
    try:
        for sample in samples:
            waiting.append(pool.submit(read, sample))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
