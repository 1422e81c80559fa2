"""Mask values: what the masks of a set hold together, and which class each value is."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.examine import MaskRecord
from segtrain.config.claims import are_colors, claim_values
from segtrain.config.data_schema import DataConfig
from segtrain.visualize import Color, default_colors

IGNORED, UNCLAIMED = -1, -2  # indices behind the classes in a row of counts


class Values(NamedTuple):
    """The values of many masks, or their packed colours, in rising order; all arrays have shape (n,).

    `pixels` hold the value, `square` of them lie in squares of 2 x 2 equal ones; `masks` is the number of masks that
    have it. `total_masks` and `total_pixels` are those of all masks, `lossy` the number of them that are JPEG.
    `palette` is the packed colour of each value where masks are palette pictures with the same colours, else None.
    """

    is_color: bool
    codes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    square: NDArray[np.int64]
    masks: NDArray[np.int64]
    total_masks: int
    total_pixels: int
    lossy: int = 0
    further_values: int = 0
    palette: NDArray[np.int64] | None = None

    def take(self, chosen: NDArray) -> "Values":
        """Those of the values at these indices, or where a mask of bools is true."""
        arrays = {name: item for name, item in self._asdict().items() if isinstance(item, np.ndarray)}
        return self._replace(**{name: item[chosen] for name, item in arrays.items()})


def merge_values(masks: Iterable[MaskRecord], *, is_color: bool | None = None) -> Values | None:
    """The values of all masks as colours, or those of the masks that hold values; by default whatever most hold. None
    without a mask."""
    masks = list(masks)
    if is_color is None:
        is_color = 2 * sum(mask.is_color for mask in masks) > len(masks)
    masks = [mask for mask in masks if is_color or not mask.is_color]
    if not masks:
        return None
    parts = [mask.colors if is_color else mask.codes for mask in masks]
    codes, index = np.unique(np.concatenate(parts), return_inverse=True)
    rows = np.concatenate([mask.counts for mask in masks])
    sums = np.zeros((len(codes), 2), np.int64)
    np.add.at(sums, index, rows[:, :2])
    holders = np.bincount(index[rows[:, 0] > 0], minlength=len(codes))
    return Values(
        is_color, codes, *sums.T, holders, len(masks),
        total_pixels=sum(mask.height * mask.width for mask in masks),
        lossy=sum(mask.file_type == "JPEG" for mask in masks),
        further_values=max(mask.further_values for mask in masks),
        palette=None if is_color else _merge_palettes(masks, codes),
    )  # fmt: skip


def _merge_palettes(masks: list[MaskRecord], codes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The colours of the values where every mask has a palette, and no two differ in a value; else None."""
    colors = np.full(len(codes), -1, np.int64)
    for mask in masks:
        if mask.palette is None:
            return None
        index = np.searchsorted(codes, mask.codes)
        if ((colors[index] >= 0) & (colors[index] != mask.palette)).any():
            return None
        colors[index] = mask.palette
    return colors


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
        if self.as_color:
            return mask.colors
        return None if mask.is_color else mask.codes

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
    """The classes of an experiment; one class alone has a background before it."""
    classes, binary = data.classes, data.mode == "binary"
    if data.multilabel:
        claims = {index: index for index in range(len(classes))} | {data.ignore_index: IGNORED}
    else:
        claimed = claim_values(classes, data.ignore_values or [], ignore_index=data.ignore_index)
        claims = {value: IGNORED if index == data.ignore_index else index for value, index in claimed.items()}
    colors = [item.color or (item.colors or [None])[0] for item in classes]
    if None in colors:  # a sequence that is easy to tell apart
        colors = default_colors(len(classes))
    return Labelling(
        data.class_names,
        [*([(0, 0, 0)] if binary else []), *map(tuple, colors)],
        claims,
        as_color=are_colors(classes) and not data.multilabel,
        binary=binary,
        multilabel=data.multilabel,
    )
