"""Loaders: which samples, in which order, read by how many processes."""

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from segtrain.config.data_schema import DataConfig
from segtrain.config.schema import TransformsConfig
from segtrain.data.dataset import EvalSamples, TrainSamples
from segtrain.data.layers import build_decoder
from segtrain.data.splits import read_splits
from segtrain.data.statistics import Decoder
from segtrain.data.transforms import build_eval_transform, build_transform
from segtrain.formats.sample import SampleTable

SHARED_MEMORY_NEEDED_BYTES = 256 << 20  # a process that finds none left dies of a bus error; Docker gives 64 MiB


class EndlessBatches(Sampler):
    """Batches of (epoch, index), epoch after epoch without end, so that workers never idle between two epochs.

    The order of an epoch depends on (seed, epoch) alone. What does not fill a batch is left out, unless it is all
    there is.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int):
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.start = (0, 0)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first = self.start
        while True:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(self.count, generator=generator).tolist()
            for step in range(first, self.steps_per_epoch):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield [(epoch, index) for index in chosen]
            epoch, first = epoch + 1, 0


class TrainLoader:
    """An endless stream of training batches from any position on."""

    def __init__(self, dataset: TrainSamples, *, batch_size: int, workers: int, pin_memory: bool):
        self.dataset = dataset
        self.batches = EndlessBatches(len(dataset), batch_size=batch_size, seed=dataset.seed)
        self.loader = _loader(dataset, batch_sampler=self.batches, workers=workers, pin_memory=pin_memory)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return self.batches.steps_per_epoch

    @property
    def batch_size(self) -> int:
        """Images of one batch."""
        return self.batches.batch_size

    def stream(self, epoch: int, step: int) -> Iterator[dict]:
        """Batches from `step` of `epoch` on, both counted from 0. Raises DataError for a file that is wrong."""
        self.batches.start = (epoch, step)
        return _raising(self.loader)


class EvalLoader:
    """Every image once, in order, whole: lists of groups of one size. Raises DataError for a file that is wrong."""

    def __init__(self, dataset: EvalSamples, *, batch_size: int, workers: int, pin_memory: bool):
        self.dataset = dataset
        batches = [list(range(i, min(i + batch_size, len(dataset)))) for i in range(0, len(dataset), batch_size)]
        self.loader = _loader(dataset, batch_sampler=batches, workers=min(workers, len(batches)), pin_memory=pin_memory)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict]]:
        return _raising(self.loader)


@dataclass
class Loaders:
    """What a training reads: `train_eval` is the training set as the validation set is seen."""

    train: TrainLoader
    val: EvalLoader
    train_eval: EvalLoader
    decoder: Decoder


def _raising(loader: DataLoader) -> Iterator:
    for batch in loader:
        if isinstance(batch, Exception):
            try:
                raise batch
            finally:
                del batch  # its traceback holds this frame: the two would keep one another, and the workers, alive
        yield batch


def _as_it_is(batch):
    return batch


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Both may reach the whole group; the parent finishes its step and ends us.
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _end_workers() -> None:
    """The traceback of an error may hold a loader to the end of this process. Its workers ignore the SIGTERM with which
    multiprocessing ends them, and it would wait for them for ever."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would take their end for an accident
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _loader(dataset, *, batch_sampler, workers: int, pin_memory: bool) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # its own, so that starting a loader draws nothing from the training's
    )


def count_workers(asked: int | str, device_type: str) -> int:
    """The number of reading processes: two suffice beside a training on the CPU, whose cores they take."""
    if asked != "auto":
        return int(asked)
    shared_bytes = shared_memory_bytes()
    if shared_bytes is not None and shared_bytes < SHARED_MEMORY_NEEDED_BYTES:
        print(
            f"warning: /dev/shm holds {shared_bytes >> 20} MiB, too little for reading processes; images are read "
            "by the training process itself. In a container: docker run --shm-size=2g, or set data.workers, if you "
            "know better"
        )
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(2, cores) if device_type == "cpu" else min(8, cores)


def shared_memory_bytes() -> int | None:
    """Size of the memory that processes share batches through; None where the system has no such limit."""
    try:
        return shutil.disk_usage("/dev/shm").total
    except OSError:
        return None


def build_loaders(
    config: DataConfig, transforms: TransformsConfig, *, seed: int, device_type: str = "cpu", cache: Path | None = None
) -> Loaders:
    """Loaders of the training and validation images; opens no image yet, and masks only to make folds. `cache` is the
    folder for what was counted in the masks."""
    splits = read_splits(config, seed=seed, cache=cache)
    decoder = build_decoder(config)
    workers = count_workers(config.workers, device_type)
    pin_memory = device_type == "cuda"
    transform = build_transform(transforms.train, ignore_index=config.ignore_index)
    eval_transform = build_eval_transform(transforms.val)
    options = {"image_options": config.image_options}

    def evaluation(samples: SampleTable) -> EvalLoader:
        dataset = EvalSamples(samples, decoder, transform=eval_transform, **options)
        batch_size = config.eval_batch_size or config.batch_size
        return EvalLoader(dataset, batch_size=batch_size, workers=workers, pin_memory=pin_memory)

    train = TrainSamples(splits["train"], decoder, transform=transform, seed=seed, **options)
    return Loaders(
        train=TrainLoader(train, batch_size=config.batch_size, workers=workers, pin_memory=pin_memory),
        val=evaluation(splits["val"]),
        train_eval=evaluation(splits["train"]),
        decoder=decoder,
    )
