"""All that the masks of a set hold, put together."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.record import MaskRecord


class Values(NamedTuple):
    """The values of many masks, or their packed colours, in rising order; all arrays have shape (n,).

    `pixels` hold the value, `square` of them lie in squares of 2 x 2 equal ones, `frame` of them in the outermost frame
    of their mask; `masks` is the number of masks that have it. `total_masks` and `total_pixels` are those of all masks,
    `lossy` the number of them that are JPEG. `palette` is the packed colour of each value where masks are palette
    pictures with the same colours, else None.
    """

    is_color: bool
    codes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    square: NDArray[np.int64]
    frame: NDArray[np.int64]
    masks: NDArray[np.int64]
    total_masks: int
    total_pixels: int
    lossy: int = 0
    further_values: int = 0
    palette: NDArray[np.int64] | None = None

    def take(self, chosen: NDArray) -> "Values":
        """Those of the values at these indices, or where a mask of bools is true."""
        arrays = {name: getattr(self, name)[chosen] for name in ("codes", "pixels", "square", "frame", "masks")}
        palette = None if self.palette is None else self.palette[chosen]
        return self._replace(**arrays, palette=palette)


def merge_values(masks: Iterable[MaskRecord], *, is_color: bool | None = None) -> Values | None:
    """The values of all masks as colours, or those of the masks that hold values; by default whatever most hold. None
    without a mask."""
    masks = list(masks)
    if is_color is None:
        is_color = 2 * sum(mask.is_color for mask in masks) > len(masks)
    masks = [mask for mask in masks if is_color or not mask.is_color]
    if not masks:
        return None
    parts = [_as_colors(mask) if is_color else mask.codes for mask in masks]
    codes, index = np.unique(np.concatenate(parts), return_inverse=True)
    rows = np.concatenate([mask.counts for mask in masks])
    sums = np.zeros((len(codes), 3), np.int64)
    np.add.at(sums, index, rows)
    holders = np.bincount(index[rows[:, 0] > 0], minlength=len(codes))
    return Values(
        is_color, codes, *sums.T, holders, len(masks),
        total_pixels=sum(mask.height * mask.width for mask in masks),
        lossy=sum(mask.file_type == "JPEG" for mask in masks),
        further_values=max(mask.further_values for mask in masks),
        palette=None if is_color else _palette(masks, codes),
    )  # fmt: skip


def grey_color(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """The packed colours that grey values 0..255 are when they are read as RGB."""
    return value * 0x010101


def _as_colors(mask: MaskRecord) -> NDArray[np.int64]:
    if mask.is_color:
        return mask.codes
    return grey_color(mask.codes) if mask.palette is None else mask.palette


def _palette(masks: list[MaskRecord], codes: NDArray[np.int64]) -> NDArray[np.int64] | None:
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
