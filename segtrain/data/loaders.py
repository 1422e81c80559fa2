"""Loaders: which samples, in which order, read by how many processes."""

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info

from segtrain.config.data_schema import DataConfig
from segtrain.config.schema import TransformsConfig
from segtrain.data.dataset import ClassBalance, EvalSamples, Kept, TrainSamples, read_sample
from segtrain.data.labels import Decoder
from segtrain.data.statistics import map_in_threads
from segtrain.data.transforms import build_eval_transform, build_transform
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable, Splits
from segtrain.images.reading import image_size
from segtrain.memory import read_available_bytes, show_bytes

SHARED_MEMORY_NEEDED_BYTES = (
    256 << 20
)  # batches are sent through it: a process that finds none left dies of a bus error; Docker gives 64 MiB


class EndlessBatches(Sampler):
    """Batches of (epoch, index), epoch after epoch without end, so that workers never idle between two epochs.

    The order of an epoch depends on (seed, epoch) alone. What does not fill a batch is left out, unless it is all
    there is.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int):
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.steps_per_epoch = count // self.batch_size
        self.start = (0, 0)

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
    """An endless stream of training batches from any position on: `batch_size` images, `steps_per_epoch` batches."""

    def __init__(self, dataset: TrainSamples, *, batch_size: int, workers: int, pin_memory: bool):
        self.dataset = dataset
        self.batches = EndlessBatches(len(dataset), batch_size=batch_size, seed=dataset.seed)
        self.batch_size, self.steps_per_epoch = self.batches.batch_size, self.batches.steps_per_epoch
        self.loader = _loader(dataset, batch_sampler=self.batches, workers=workers, pin_memory=pin_memory)

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

    @property
    def fingerprints(self) -> dict[str, tuple[int, str]]:
        """Number of the training and of the validation images, and a digest of their names: whether they changed."""
        found = {}
        for split, loader in (("training", self.train), ("validation", self.val)):
            names = [sample.name for sample in loader.dataset.samples]
            digest = blake2b("\n".join(names).encode("utf-8", "surrogateescape"), digest_size=8)
            found[split] = (len(names), digest.hexdigest())
        return found


def _raising(loader: DataLoader) -> Iterator:
    for batch in loader:
        if isinstance(batch, Exception):
            try:
                raise batch
            finally:
                del batch  # its traceback holds this frame: the two would keep one another, and the workers, alive
        yield batch


def _share(batch):
    """A batch, in a worker in shared memory: where that is full it fails here, and the training learns of it. torch
    itself would move it in a thread whose failure loses the batch, and the training would wait for it without end."""
    if get_worker_info() is not None and not isinstance(batch, Exception):
        for group in batch if isinstance(batch, list) else [batch]:
            for value in group.values():
                if isinstance(value, torch.Tensor):
                    value.share_memory_()
    return batch


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Both may reach the whole group; the parent finishes its step and ends us.
        signal.signal(number, signal.SIG_IGN)
    # What fails here is handed to the parent; multiprocessing's own thread would print that the parent is gone.
    sys.excepthook = lambda *_: None


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
        collate_fn=_share,
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
    try:
        shared_bytes = shutil.disk_usage("/dev/shm").free
    except OSError:  # a system without such a limit
        shared_bytes = SHARED_MEMORY_NEEDED_BYTES
    if shared_bytes < SHARED_MEMORY_NEEDED_BYTES:
        print(
            f"warning: /dev/shm has {shared_bytes >> 20} MiB free, too little for reading processes; images are read "
            "by the training process itself. In a container: docker run --shm-size=2g, or set data.workers, if you "
            "know better"
        )
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(2, cores) if device_type == "cpu" else min(8, cores)


MEASURED = 200  # images whose headers are read to estimate the memory for all
LARGEST_SHARE = 0.8  # of the free memory; the training needs some too


def estimate_memory(samples: SampleTable, decoder: Decoder, image_options: dict[str, Any]) -> int:
    """Memory that all images and masks take, decoded, from the headers of some of them."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), MEASURED)).astype(int)).tolist()
    pixels = [int(np.prod(image_size(samples[index].image))) for index in chosen]
    image_bytes = image_options["channels"] * (1 if "scale" not in image_options else 4)
    mask_bytes = decoder.dtype.itemsize * (len(decoder.classes) if decoder.multilabel else 1)
    return round(len(samples) * float(np.mean(pixels)) * (image_bytes + mask_bytes))


def keep_in_memory(tables: Sequence[SampleTable], decoder: Decoder, image_options: dict[str, Any]) -> list[Kept]:
    """Read all images and masks of some splits, after a line that says what memory it takes. Processes that are forked
    later share them. Raises DataError, before anything is read, where the memory does not suffice by the estimate."""
    count, free = sum(map(len, tables)), read_available_bytes()
    needed = sum(estimate_memory(samples, decoder, image_options) for samples in tables)
    if free is not None and needed > LARGEST_SHARE * free:
        raise DataError(
            f"data.cache: ram: {count} images take about {show_bytes(needed)} in memory, and {show_bytes(free)} are "
            "free; write data.cache: null, or make the files smaller"
        )
    print(f"memory   about {show_bytes(needed)} for {count} images and masks (data.cache: ram)")
    read = partial(read_sample, decoder=decoder, image_options=image_options)
    pairs = map_in_threads(read, [sample for samples in tables for sample in samples], "reading into memory")
    return [list(islice(pairs, len(samples))) for samples in tables]


def build_loaders(
    config: DataConfig,
    transforms: TransformsConfig,
    splits: Splits,
    decoder: Decoder,
    *,
    seed: int,
    device_type: str = "cpu",
    presence: np.ndarray | None = None,
) -> Loaders:
    """Loaders of the training and validation images. Opens no image yet, unless `data.cache` keeps them in memory.

    `presence` (bool, training samples x classes) says which sample has a pixel of which class, for `data.balance`.
    """
    workers = count_workers(config.workers, device_type)
    common = {"image_options": config.image_options}
    loader_options = {"workers": workers, "pin_memory": device_type == "cuda"}
    eval_transform = build_eval_transform(transforms.val)
    kept_train = kept_val = None
    if config.cache is not None:
        kept_train, kept_val = keep_in_memory([splits["train"], splits["val"]], decoder, config.image_options)

    def evaluation(samples: SampleTable, kept: Kept | None) -> EvalLoader:
        dataset = EvalSamples(samples, decoder, transform=eval_transform, kept=kept, **common)
        return EvalLoader(dataset, batch_size=config.eval_batch_size or config.batch_size, **loader_options)

    train = TrainSamples(
        splits["train"],
        decoder,
        transform=build_transform(transforms.train, ignore_index=config.ignore_index),
        seed=seed,
        balance=ClassBalance(config.balance, presence) if config.balance > 0 and presence is not None else None,
        kept=kept_train,
        **common,
    )
    return Loaders(
        train=TrainLoader(train, batch_size=config.batch_size, **loader_options),
        val=evaluation(splits["val"], kept_val),
        train_eval=evaluation(splits["train"], kept_train),
    )
