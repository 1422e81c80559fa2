"""From the format on the disk to the samples that are trained and scored."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from segtrain.config.data_schema import DataConfig
from segtrain.data.folds import assign_folds
from segtrain.data.layers import build_decoder
from segtrain.data.statistics import count_pixels
from segtrain.errors import DataError
from segtrain.formats import FORMATS
from segtrain.formats.sample import Sample, SampleTable, Splits


def read_splits(config: DataConfig, *, seed: int, cache: Path | None = None) -> Splits:
    """The splits of the data set on the disk: train and val, as the configuration chooses them, and what else is there.

    With folds the masks are read, for the classes that occur; `cache` is a folder to keep that in. Raises DataError
    where train or val is missing or empty, or a training image is in the val or test split too.
    """
    found = _read_roots(config, seed)
    if config.group_pattern is not None:
        found = {split: SampleTable(_grouped(samples, config.group_pattern)) for split, samples in found.items()}
    splits = {split: samples for split, samples in found.items() if split not in ("train", "val")}
    for split, wanted in (("train", config.train_split), ("val", config.val_split)):
        if not found.get(wanted):
            there = ", ".join(f"{name} ({len(samples)})" for name, samples in found.items()) or "nothing"
            roots = " and ".join(map(str, config.roots))
            raise DataError(f"data: the {wanted} split is empty; {roots} as format {config.format} gives: {there}")
        splits[split] = found[wanted]
    if config.folds is None and config.train_split == config.val_split:
        return splits  # asked for, to see whether a model can learn some images by heart
    _require_disjoint(splits["train"], splits["val"], "validation")
    if config.folds is None:
        _require_apart(splits["train"], splits["val"])
    else:
        pool = _joined(splits["train"], splits["val"])
        decoder = build_decoder(config)
        counts = count_pixels(pool, decoder, cache=cache)
        groups = [sample.group or sample.name for sample in pool]
        folds = assign_folds(counts[:, : decoder.width] > 0, groups, folds=config.folds, seed=seed)
        splits["train"] = pool.take(np.flatnonzero(folds != config.fold).tolist())
        splits["val"] = pool.take(np.flatnonzero(folds == config.fold).tolist())
    if "test" not in (config.train_split, config.val_split):
        _require_disjoint(splits["train"], splits.get("test", ()), "test")
    return splits


def _read_roots(config: DataConfig, seed: int) -> Splits:
    """The splits of every root, one behind the other; with several, a root's folder goes before the names."""
    read = FORMATS[config.format].read
    provided = {"seed": seed, "classes": config.classes}
    wanted = {key: value for key, value in provided.items() if key in inspect.signature(read).parameters}
    parts = [read(root, **wanted, **config.arguments) for root in config.roots]
    if len(parts) == 1:
        return parts[0]
    titles = [root.name for root in config.roots]
    if len({root.resolve() for root in config.roots}) < len(config.roots):
        raise DataError(f"data.root: names one folder twice: {', '.join(map(str, config.roots))}")
    if len(set(titles)) < len(titles):
        titles = [str(place) for place in range(len(titles))]
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
        match = expression.search(sample.name)
        group = match and (match[1] if expression.groups else match[0])
        if not group:
            raise DataError(f"data.group_pattern: {pattern} finds nothing in the name {sample.name} of {sample.image}")
        yield sample._replace(group=group)


def _joined(train: SampleTable, val: SampleTable) -> SampleTable:
    """Both, with the split before the names where they share one."""
    names = {sample.name for sample in val}
    if any(sample.name in names for sample in train):
        pairs = [("train", train), ("val", val)]
        return SampleTable(s._replace(name=f"{split}/{s.name}") for split, table in pairs for s in table)
    return SampleTable(sample for table in (train, val) for sample in table)


def _require_apart(train: SampleTable, val: SampleTable) -> None:
    held_out = {sample.group for sample in val} - {""}
    both = sorted({sample.group for sample in train} & held_out) if held_out else []
    if both:
        raise DataError(
            f"data: {len(both)} group(s) of samples are both in the training and in the validation split, '{both[0]}' "
            "for one; write data.folds: 5, whose folds keep groups together, or mend the splits"
        )


def _require_disjoint(train: SampleTable, other: Sequence[Sample], title: str) -> None:
    held_out = {sample.image for sample in other}
    both = [sample.image for sample in train if sample.image in held_out]
    if both:
        raise DataError(
            f"data: {len(both)} image(s) are both in the training and in the {title} split, {both[0]} for one; "
            "the score would be of images that were learnt by heart"
        )
