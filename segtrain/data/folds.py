"""Folds of a cross-validation in which every class is spread evenly."""

from collections.abc import Sequence

import numpy as np

from segtrain.errors import DataError
from segtrain.formats.sample import seeded_hash


def assign_folds(presence: np.ndarray, groups: Sequence[str], *, folds: int, seed: int) -> np.ndarray:
    """A fold 0..folds-1 for each sample, int64 (N,); samples of one group share theirs.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, 2011): the class
    that occurs in the fewest samples is dealt out first, each time to the fold that lacks it most.

    Args:
        presence: bool (N, C), whether the sample has a pixel of the class.
        groups: what each sample must not be parted from; N texts, one of its own where it stands alone.
        folds: their number, at least 2.
        seed: decides between folds that lack a class equally, and the order of the groups.

    Raises:
        DataError: there are fewer groups than folds.
    """
    names = sorted(set(groups), key=lambda name: seeded_hash(name, seed))
    if len(names) < folds:
        raise DataError(f"data.folds: {len(names)} groups of samples cannot be split into {folds} folds")
    rank = {name: place for place, name in enumerate(names)}
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
