"""What the values of masks mean, as the experiment says it or as it is proposed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.propose import Proposal
from segtrain.commands.check.record import MaskRecord
from segtrain.commands.check.values import grey_color
from segtrain.config.claims import are_colors, claim_values
from segtrain.config.data_schema import ClassConfig, DataConfig
from segtrain.visualize import Color, default_colors

IGNORED, UNCLAIMED = -1, -2  # indices behind the classes in a row of counts


class Labelling(NamedTuple):
    """Names and colours of the classes (a binary task has two, its background first), and which mask value or packed
    colour is which: `claims` gives a class's index, or IGNORED."""

    names: list[str]
    colors: list[Color]
    claims: dict[int, int]
    as_color: bool
    binary: bool
    multilabel: bool = False

    def codes_of(self, mask: MaskRecord) -> NDArray[np.int64] | None:
        """The mask's values as these classes read them; None where they cannot: colours where values are expected."""
        if not self.as_color:
            return None if mask.is_color else mask.codes
        if mask.is_color:
            return mask.codes
        return grey_color(mask.codes) if mask.palette is None else mask.palette

    def indices_of(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The class's index of each value or packed colour, IGNORED, or UNCLAIMED."""
        return np.array([self.claims.get(code, UNCLAIMED) for code in codes.tolist()], np.int64)

    def count(self, mask: MaskRecord) -> NDArray[np.int64]:
        """Pixels of each class, of what nothing claims, and of what is ignored: int64 (classes + 2,)."""
        counts = np.zeros(len(self.names) + 2, np.int64)
        codes = self.codes_of(mask)
        if codes is None:
            counts[UNCLAIMED] = mask.height * mask.width
        else:
            np.add.at(counts, self.indices_of(codes), mask.counts[:, 0])
            counts[UNCLAIMED] += mask.further_pixels
        return counts


def labelling_of(data: DataConfig) -> Labelling:
    """The classes of an experiment."""
    names, binary = data.class_names, data.mode == "binary"
    if data.multilabel:
        claims = {index: index for index in range(len(names))} | {data.ignore_index: IGNORED}
        return Labelling(names, _colors(data.classes, binary=False), claims, False, False, multilabel=True)
    return _labelling(names, data.classes, data.ignore_values or [], data.ignore_index, binary=binary)


def labelling_from(proposal: Proposal) -> Labelling | None:
    """The classes that are proposed; None where there are none."""
    if not proposal.classes:
        return None
    binary = len(proposal.classes) == 1
    names = [item.name for item in proposal.classes]
    names = ["background", *names] if binary else names
    return _labelling(names, proposal.classes, proposal.ignore_values, 255, binary=binary)


def _labelling(
    names: list[str],
    classes: Sequence[ClassConfig],
    ignore_values: Sequence[int | list[int]],
    ignore_index: int,
    *,
    binary: bool,
) -> Labelling:
    claimed = claim_values(classes, ignore_values, ignore_index=ignore_index)
    claims = {value: IGNORED if index == ignore_index else index for value, index in claimed.items()}
    return Labelling(names, _colors(classes, binary=binary), claims, are_colors(classes), binary)


def _colors(classes: Sequence[ClassConfig], *, binary: bool) -> list[Color]:
    """The classes' own colours where all have one, else a sequence that is easy to tell apart."""
    if all(item.color or item.colors for item in classes):
        colors = [tuple(item.color or item.colors[0]) for item in classes]
    else:
        colors = default_colors(len(classes))
    return [(0, 0, 0), *colors] if binary else colors
