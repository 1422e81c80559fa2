"""Splits and folds: which samples of a dataset are trained on, and which are scored."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segtrain import formats
from segtrain.config.data_schema import DataConfig
from segtrain.data.labels import build_decoder
from segtrain.data.statistics import count_pixels
from segtrain.errors import DataError
from segtrain.formats.sample import SPLIT_NAMES, Sample, SampleTable, Splits, seeded_hash

LEARNT = "the score would be on images that were trained on"


def read_splits(
    config: DataConfig,
    *,
    seed: int,
    cache: Path | None = None,
    notes: list[str] | None = None,
    thorough: bool = False,
) -> Splits:
    """The splits of the dataset on disk: train and val, as the configuration chooses them, and any others.

    With folds, the masks are read to find the classes that occur; `cache` is a folder to keep that in. `notes` and
    `thorough` are those of formats.read_dataset. Raises DataError if train is missing or empty, if val is (unless there
    are folds), or if a training image is also in the val or test split.
    """
    found = _read_roots(config, seed=seed, notes=notes, thorough=thorough)
    if config.group_pattern is not None:
        found = {split: SampleTable(_grouped(samples, config.group_pattern)) for split, samples in found.items()}
    splits = {split: samples for split, samples in found.items() if split not in ("train", "val")}
    for split, wanted in (("train", config.train_split), ("val", config.val_split)):
        samples = found.get(wanted) or found.get(SPLIT_NAMES.get(wanted.casefold(), wanted))
        no_val = wanted == "val" and "val" not in found
        if not samples and not (no_val and config.folds):
            there = ", ".join(f"{name} ({len(samples)})" for name, samples in found.items()) or "nothing"
            roots = " and ".join(map(str, config.roots))
            hint = "; write data.val_fraction: 0.2 to hold out a share of train" if no_val and "train" in found else ""
            raise DataError(
                f"data: the {wanted} split is empty; {roots} read as format {config.format} contains: {there}{hint}"
            )
        splits[split] = samples or SampleTable()
    if config.folds is None and config.train_split == config.val_split:
        return splits  # asked for, to see whether a model can learn some images by heart
    _require_apart("image", splits["train"], splits["val"], "validation", LEARNT)
    if config.folds is None:
        hint = "correct the splits, or write data.folds: 5, which keeps groups together"
        _require_apart("group", splits["train"], splits["val"], "validation", hint)
    else:
        pool = _joined(splits["train"], splits["val"])
        decoder = build_decoder(config)
        counts = count_pixels(pool, decoder, cache=cache)
        groups = [sample.group or sample.whole_name for sample in pool]
        if config.tile is not None:
            from segtrain.data.tiling import fold_groups

            groups = fold_groups(pool, groups, config.folds)
        folds = assign_folds(counts[:, : decoder.width] > 0, groups, folds=config.folds, seed=seed)
        splits["train"] = pool.take(np.flatnonzero(folds != config.fold).tolist())
        splits["val"] = pool.take(np.flatnonzero(folds == config.fold).tolist())
    if "test" not in (config.train_split, config.val_split):
        _require_apart("image", splits["train"], splits.get("test", ()), "test", LEARNT)
    return splits


def _read_roots(config: DataConfig, **options: Any) -> Splits:
    """The splits of all roots, one after another; if there are several, the folder of its root precedes each name."""
    read: Callable[..., Splits] = formats.read_dataset
    if config.tile is not None:
        from segtrain.data.tiling import read_tiled

        read = partial(read_tiled, config)
    parts = [read(config.format, root, config.arguments, **config.provided, **options) for root in config.roots]
    if len(parts) == 1:
        return parts[0]
    titles = [root.name for root in config.roots]
    if len({root.resolve() for root in config.roots}) < len(config.roots):
        raise DataError(f"data.root: contains the same folder twice: {', '.join(map(str, config.roots))}")
    if len(set(titles)) < len(titles):
        titles = [str(index) for index in range(len(titles))]
    return {
        split: SampleTable(
            sample._replace(name=f"{title}/{sample.name}", group=sample.group and f"{title}/{sample.group}")
            for title, part in zip(titles, parts, strict=True)
            for sample in part.get(split, ())
        )
        for split in dict.fromkeys(split for part in parts for split in part)
    }


def _grouped(samples: SampleTable, pattern: str) -> Iterator[Sample]:
    expression = re.compile(pattern)
    for sample in samples:
        match = expression.search(sample.whole_name)
        group = match and (match[1] if expression.groups else match[0])
        if not group:
            raise DataError(
                f"data.group_pattern: {pattern} does not match the name {sample.whole_name} of {sample.image}"
            )
        yield sample._replace(group=group)


def _joined(train: SampleTable, val: SampleTable) -> SampleTable:
    """Both, with the split before the names if they share one."""
    names = {sample.name for sample in val}
    if any(sample.name in names for sample in train):
        pairs = [("train", train), ("val", val)]
        return SampleTable(s._replace(name=f"{split}/{s.name}") for split, table in pairs for s in table)
    return SampleTable(sample for table in (train, val) for sample in table)


def _require_apart(what: str, train: SampleTable, other: Sequence[Sample], title: str, hint: str) -> None:
    """Raises DataError if two splits share an image or a group, as `what` says; `hint` ends the message."""
    held_out = {getattr(sample, what) for sample in other} - {""}
    both = sorted({getattr(sample, what) for sample in train} & held_out) if held_out else []
    if both:
        raise DataError(
            f"data: {len(both)} {what}(s) are in both the training and the {title} split, for example '{both[0]}'; "
            f"{hint}"
        )


def assign_folds(presence: np.ndarray, groups: Sequence[str], *, folds: int, seed: int) -> np.ndarray:
    """A fold 0..folds-1 for each sample, int64 (N,); samples of the same group have the same fold.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, 2011): the class
    that occurs in the fewest samples is distributed first, each time to the fold that lacks it most.

    Args:
        presence: bool (N, C), whether the sample has a pixel of the class.
        groups: N strings; samples with the same one stay together.
        folds: their number, at least 2.
        seed: breaks ties between folds, and determines the order of the groups.

    Raises:
        DataError: there are fewer groups than folds.
    """
    names = sorted(set(groups), key=lambda name: seeded_hash(name, seed))
    if len(names) < folds:
        raise DataError(f"data.folds: {len(names)} groups of samples cannot be split into {folds} folds")
    rank = {name: index for index, name in enumerate(names)}
    of_sample = np.array([rank[name] for name in groups], np.int64)
    sizes = np.bincount(of_sample, minlength=len(names))
    counts = np.zeros((len(names), presence.shape[1]), np.int64)
    np.add.at(counts, of_sample, presence.astype(np.int64))
    return _deal(counts, sizes, folds)[of_sample]


def _deal(counts: np.ndarray, sizes: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each group; counts (G, C) are samples with the class, sizes (G,) are samples."""
    chosen = np.full(len(counts), -1, np.int64)
    lacking = np.tile(counts.sum(axis=0) / folds, (folds, 1))  # samples of each class that each fold is still due
    room = np.full(folds, sizes.sum() / folds)
    remaining = counts.sum(axis=0)
    while (remaining > 0).any():
        rarest = int(np.where(remaining > 0, remaining, np.iinfo(np.int64).max).argmin())
        groups = np.flatnonzero((counts[:, rarest] > 0) & (chosen < 0))
        for group in groups[np.argsort(-counts[groups, rarest], kind="stable")]:  # the largest while there is choice
            fold = int(np.lexsort((-room, -lacking[:, rarest]))[0])
            chosen[group] = fold
            lacking[fold] -= counts[group]
            room[fold] -= sizes[group]
            remaining -= counts[group]
    for group in np.flatnonzero(chosen < 0):  # without a pixel of any class
        chosen[group] = fold = int(room.argmax())
        room[fold] -= sizes[group]
    return chosen
