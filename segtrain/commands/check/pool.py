"""Process pool: every sample of a dataset looked at with all cores."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import starmap

import cv2
from tqdm import tqdm

from segtrain.commands.check.examine import Record
from segtrain.formats.sample import Sample, Splits
from segtrain.memory import count_cores

CHUNK = 8  # samples that travel together: enough to hide the transport, few enough that the bar moves

Examine = Callable[[str, Sample], Record]  # picklable, and it raises nothing


def examine_all(splits: Splits, examine: Examine, *, workers: int | None = None) -> list[Record]:
    """The records of all samples, split by split, in their order; a file that ends the process that reads it (for
    memory, most often) has that as its error."""
    tasks = [(split, sample) for split, samples in splits.items() for sample in samples]
    workers = min(workers or count_cores(), -(-len(tasks) // CHUNK))
    found = _in_order(tasks, examine, workers) if workers > 1 else starmap(examine, tasks)
    return list(tqdm(found, total=len(tasks), desc="looking", unit="pair", leave=False, delay=0.5, disable=None))


def _in_order(tasks: Sequence[tuple[str, Sample]], examine: Examine, workers: int) -> Iterator[Record]:
    """Where a process ends, the first chunk that is not done, which may or may not be at fault, is looked at sample by
    sample, each in a process of its own, and a new pool goes on behind it."""
    done = 0
    while done < len(tasks):
        try:
            with _start(workers) as pool:
                for record in pool.map(examine, *zip(*tasks[done:], strict=True), chunksize=CHUNK):
                    done += 1
                    yield record
        except BrokenProcessPool:
            for split, sample in tasks[done : done + CHUNK]:
                done += 1
                yield _examine_alone(split, sample, examine)


def _examine_alone(split: str, sample: Sample, examine: Examine) -> Record:
    with _start(1) as pool:
        try:
            return pool.submit(examine, split, sample).result()
        except BrokenProcessPool:
            reason = "the process that read it was killed, most likely for lack of memory"
            return Record(split, sample, image_error=f"{sample.image}: {reason}")


def _start(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_start_worker)


def _start_worker() -> None:
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the parent ends us
