"""Process pool: every sample of a data set looked at with all cores."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import cv2
from tqdm import tqdm

from segtrain.commands.check.record import Record
from segtrain.formats.sample import Sample, Splits

CHUNK = 8  # samples that travel together: enough to hide the transport, few enough that the bar moves

Examine = Callable[[str, Sample], Record]  # picklable, and it raises nothing
Chunk = tuple[str, Sequence[Sample]]


def examine_all(splits: Splits, examine: Examine, *, workers: int | None = None) -> list[Record]:
    """The records of all samples, split by split, in their order; a file that ends the process that reads it (for
    memory, most often) has that as its error."""
    chunks = [
        (split, list(samples[start : start + CHUNK]))
        for split, samples in splits.items()
        for start in range(0, len(samples), CHUNK)
    ]
    workers = min(workers or count_cores(), len(chunks))
    examine_chunk = partial(_examine_chunk, examine)
    records: list[Record] = []
    total = sum(map(len, splits.values()))
    with tqdm(total=total, desc="looking", unit="pair", leave=False, delay=0.5, disable=None) as bar:
        for found in _in_order(chunks, examine_chunk, workers) if workers > 1 else map(examine_chunk, chunks):
            records += found
            bar.update(len(found))
    return records


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _examine_chunk(examine: Examine, chunk: Chunk) -> list[Record]:
    split, samples = chunk
    return [examine(split, sample) for sample in samples]


def _in_order(
    chunks: Sequence[Chunk], examine_chunk: Callable[[Chunk], list[Record]], workers: int
) -> Iterator[list[Record]]:
    """Records chunk by chunk. Where a process ends, the first chunk that is not done, which may or may not be at fault,
    is looked at sample by sample, and a new pool goes on behind it."""
    done = 0
    while done < len(chunks):
        try:
            with _start(workers) as pool:
                for found in pool.map(examine_chunk, chunks[done:]):
                    done += 1
                    yield found
        except BrokenProcessPool:
            yield _one_by_one(chunks[done], examine_chunk)
            done += 1


def _one_by_one(chunk: Chunk, examine_chunk: Callable[[Chunk], list[Record]]) -> list[Record]:
    """The records of samples one of which may end its process: each in a process of its own."""
    split, samples = chunk
    records = []
    for sample in samples:
        with _start(1) as pool:
            try:
                records += pool.submit(examine_chunk, (split, [sample])).result()
            except BrokenProcessPool:
                reason = "the process that read it was ended from outside, most likely for lack of memory"
                records.append(Record(split, sample, image_error=f"{sample.image}: {reason}"))
    return records


def _start(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_start_worker)


def _start_worker() -> None:
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent ends us
