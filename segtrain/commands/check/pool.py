"""Looking at every sample of a data set with all cores."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from tqdm import tqdm

from segtrain.commands.check.record import Record
from segtrain.formats.sample import Sample, Splits

CHUNK = 8  # samples that travel together: enough to hide the transport, few enough that the bar moves
WAITING = 4  # chunks per process that are prepared ahead

Examine = Callable[[str, Sample], Record]  # picklable, and it raises nothing
Chunk = tuple[str, list[Sample]]


def examine_all(splits: Splits, examine: Examine, *, workers: int | None = None) -> list[Record]:
    """The records of all samples, split by split, in their order; a file that ends the process that reads it (for
    memory, most often) has that as its error."""
    total = sum(map(len, splits.values()))
    workers = min(workers or count_cores(), -(-total // CHUNK))
    chunks = (
        (split, samples[start : start + CHUNK]) for split, samples in splits.items() for start in _starts(samples)
    )
    records: list[Record] = []
    with tqdm(total=total, desc="looking", unit="pair", leave=False, delay=0.5, disable=None) as bar:
        for found in _in_order(chunks, examine, workers) if workers > 1 else map(partial(_examine, examine), chunks):
            records += found
            bar.update(len(found))
    return records


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _starts(samples: Sequence[Sample]) -> range:
    return range(0, len(samples), CHUNK)


def _examine(examine: Examine, chunk: Chunk) -> list[Record]:
    split, samples = chunk
    return [examine(split, sample) for sample in samples]


def _in_order(chunks: Iterator[Chunk], examine: Examine, workers: int) -> Iterator[list[Record]]:
    """Records chunk by chunk; no more than some chunks per process are ever on their way."""
    ahead: dict[int, tuple[Chunk, Future | None]] = {}
    done: dict[int, list[Record]] = {}
    pool, given, next_one, finished = _start(workers), 0, 0, False
    try:
        while True:
            try:
                while not finished and len(ahead) < workers * WAITING:
                    chunk = next(chunks, None)
                    if chunk is None:
                        finished = True
                        break
                    ahead[given], given = (chunk, None), given + 1
                    ahead[given - 1] = (chunk, pool.submit(_examine, examine, chunk))
                if not ahead:
                    return
                wait([future for _, future in ahead.values()], return_when=FIRST_COMPLETED)
                for index in [index for index, (_, future) in ahead.items() if future.done()]:
                    done[index] = ahead[index][1].result()
                    del ahead[index]
            except BrokenProcessPool:
                done |= {index: _one_by_one(examine, chunk) for index, (chunk, _) in ahead.items()}
                ahead.clear()
                pool = _start(workers)
            while next_one in done:
                yield done.pop(next_one)
                next_one += 1
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(examine: Examine, chunk: Chunk) -> list[Record]:
    """The records of samples one of which has ended its process: each in a process of its own."""
    split, samples = chunk
    records = []
    for sample in samples:
        with _start(1) as pool:
            try:
                records += pool.submit(_examine, examine, (split, [sample])).result()
            except BrokenProcessPool:
                reason = "the process that read it was ended from outside, most likely for lack of memory"
                records.append(Record(split, sample, image_error=f"{sample.image}: {reason}"))
    return records


def _start(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_start_worker)


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent ends us
