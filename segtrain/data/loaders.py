"""Loaders: which samples, in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from segtrain.config.schema import Config
from segtrain.data.dataset import ClassBalance, EvalSamples, Kept, TrainSamples
from segtrain.data.labels import Decoder
from segtrain.data.transforms import build_eval_transform, build_transform
from segtrain.data.workers import build_loader, count_workers, read_batches
from segtrain.distributed import rank, size
from segtrain.errors import ConfigError
from segtrain.formats.sample import Splits


class EndlessBatches(Sampler):
    """Batches of (epoch, index), epoch after epoch without end, so that workers never idle between epochs.

    The order of an epoch depends only on (seed, epoch). Samples that do not fill a batch are left out, unless there are
    no others. With several processes each gets its share of every batch; raises ConfigError if the shares differ.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int):
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.steps_per_epoch = count // self.batch_size
        if rest := self.batch_size % size():
            fitting = [str(n) for n in (self.batch_size - rest, self.batch_size - rest + size()) if 0 < n <= count]
            raise ConfigError(
                f"data.batch_size: {self.batch_size} of {count} training images cannot be divided evenly among "
                f"{size()} processes; write {' or '.join(fitting)}"
                if fitting
                else f"{count} training images are too few for {size()} processes"
            )
        self.start = (0, 0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first = self.start
        while True:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(self.count, generator=generator).tolist()
            for step in range(first, self.steps_per_epoch):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield [(epoch, index) for index in chosen[rank() :: size()]]
            epoch, first = epoch + 1, 0


class TrainLoader:
    """An endless stream of training batches from any position: `batch_size` images, `steps_per_epoch` batches. With
    several processes each reads its share of every batch."""

    def __init__(self, dataset: TrainSamples, *, batch_size: int, workers: int, pin_memory: bool):
        self.dataset = dataset
        self.batches = EndlessBatches(len(dataset), batch_size=batch_size, seed=dataset.seed)
        self.batch_size, self.steps_per_epoch = self.batches.batch_size, self.batches.steps_per_epoch
        self.loader = build_loader(dataset, batch_sampler=self.batches, workers=workers, pin_memory=pin_memory)

    def stream(self, epoch: int, step: int) -> Iterator[dict]:
        """Batches from `step` of `epoch`, both counted from 0. Raises DataError for a file with an error."""
        self.batches.start = (epoch, step)
        return read_batches(self.loader)


class EvalLoader:
    """Every image once, in order, whole: lists of groups of the same size. With several processes each reads an equal
    number of batches; the last may be an empty list. Raises DataError for a file with an error."""

    def __init__(self, dataset: EvalSamples, *, batch_size: int, workers: int, pin_memory: bool):
        self.dataset = dataset
        batches = [list(range(i, min(i + batch_size, len(dataset)))) for i in range(0, len(dataset), batch_size)]
        batches += [[]] * (-len(batches) % size())
        batches = batches[rank() :: size()]
        self.loader = build_loader(
            dataset, batch_sampler=batches, workers=min(workers, len(batches)), pin_memory=pin_memory
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict]]:
        return read_batches(self.loader)


@dataclass
class Loaders:
    """The data of a training: `train_eval` is the training set, read like the validation set."""

    train: TrainLoader
    val: EvalLoader
    train_eval: EvalLoader

    @property
    def fingerprints(self) -> dict[str, tuple[int, str]]:
        """Number of the training and of the validation images, and a digest of their names, to detect changes."""
        found = {}
        for split, loader in (("training", self.train), ("validation", self.val)):
            names = [sample.name for sample in loader.dataset.samples]
            digest = blake2b("\n".join(names).encode("utf-8", "surrogateescape"), digest_size=8)
            found[split] = (len(names), digest.hexdigest())
        return found


def build_loaders(
    config: Config, splits: Splits, decoder: Decoder, *, device_type: str = "cpu", presence: np.ndarray | None = None
) -> Loaders:
    """Loaders of the training and validation images. Opens no image, unless `data.cache` keeps them in memory.

    `presence` (bool, training samples x classes) says which sample has a pixel of which class, for `data.balance`.
    """
    data = config.data
    options = {"workers": count_workers(data.workers, device_type), "pin_memory": device_type == "cuda"}
    common: dict[str, Any] = {"image_options": data.image_options}
    eval_transform = build_eval_transform(config.transforms.val)
    kept: dict[str, Kept] = {}
    mix = None
    if data.cache == "folder":
        from segtrain.data.staging import Staging

        common["read"] = Staging(data.cache_folder or config.cache_dir / "files").read
    elif data.cache == "ram":
        from segtrain.data.memory_cache import keep_in_memory

        kept["train"], kept["val"] = keep_in_memory([splits["train"], splits["val"]], decoder, data.image_options)
    if data.mix is not None:
        from segtrain.data.mixing import Mixing

        mix = Mixing(data)

    def evaluation(split: str) -> EvalLoader:
        dataset = EvalSamples(splits[split], decoder, transform=eval_transform, kept=kept.get(split), **common)
        return EvalLoader(dataset, batch_size=data.images_at_once, **options)

    train = TrainSamples(
        splits["train"],
        decoder,
        transform=build_transform(config.transforms.train, ignore_index=data.ignore_index),
        seed=config.seed,
        balance=ClassBalance(data.balance, presence) if data.balance > 0 and presence is not None else None,
        mix=mix,
        kept=kept.get("train"),
        **common,
    )
    return Loaders(TrainLoader(train, batch_size=data.batch_size, **options), evaluation("val"), evaluation("train"))
