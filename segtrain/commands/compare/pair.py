"""Pair of entries: the difference of their scores on the images that both were evaluated on, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas

from segtrain.commands.compare.row import Measure, RunEntry, RunRow
from segtrain.errors import count_of
from segtrain.inference.bootstrap import compare_paired


@dataclass(frozen=True)
class EntryPair:
    """`second` beside `first`: the difference of their scores, second less first, with its interval; `changes`, that of
    each image of both, by name, nan where it has none; and in `notes` what keeps them from being quite comparable."""

    first: RunEntry
    second: RunEntry
    measure: Measure
    difference: float
    low: float
    high: float
    changes: pandas.Series
    notes: list[str]

    def count(self, sign: int) -> int:
        """Images on which the second is better (1), worse (-1) or the same (0)."""
        return int((np.sign(self.changes.dropna()) == sign).sum())

    @property
    def sure(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def most_changed(self, count: int) -> list[str]:
        """The images whose score changed most, the largest change first."""
        changes = self.changes.dropna()
        changes = changes[changes != 0]
        return changes.abs().sort_values(ascending=False, kind="stable").index[:count].tolist()


def pair_entries(first: RunEntry, second: RunEntry, measure: Measure) -> EntryPair | None:
    """Compare evaluations image by image, with the mean of several seeds; None where a row has none, or they have no
    image in common, like folds. A metric that the counts do not give, like the loss, is mIoU here."""
    rows = [*first.rows, *second.rows]
    if any(row.evaluation is None for row in rows):
        return None
    if measure.of_counts(np.zeros((3, len(measure.names)))) is None:
        measure = Measure("miou", measure.names, measure.whole)
    sets = [set(row.evaluation.images) for row in rows]
    common, every = set.intersection(*sets), set.union(*sets)
    if not common:
        return None
    images = [name for name in rows[0].evaluation.images if name in common]
    counts = [np.stack([_pick(row, images, measure) for row in entry.rows]) for entry in (first, second)]
    difference, (low, high) = compare_paired(*counts, measure.of_counts)
    before, after = (measure.of_counts(each).mean(axis=0) for each in counts)
    notes = []
    if alone := len(every) - len(common):
        notes.append(f"{count_of(alone, 'image', 'is')} not in every evaluation, so left out")
    true = np.concatenate(counts)[:, :, 1]
    if masks := int((true != true[0]).any(axis=(0, 2)).sum()):
        notes.append(f"the ground truth of {count_of(masks, 'image')} differs between the two")
    return EntryPair(first, second, measure, difference, low, high, pandas.Series(after - before, images), notes)


def _pick(row: RunRow, images: Sequence[str], measure: Measure) -> np.ndarray:
    position = {name: index for index, name in enumerate(row.evaluation.images)}
    return row.counts_of(measure.names)[[position[name] for name in images]]


def pair_with_best(entries: Sequence[RunEntry], measure: Measure) -> list[EntryPair]:
    """Every entry that was evaluated beside the best that was."""
    evaluated = [entry for entry in entries if all(row.evaluation is not None for row in entry.rows)]
    pairs = [pair_entries(evaluated[0], entry, measure) for entry in evaluated[1:]]
    return [pair for pair in pairs if pair is not None]
