"""Mask kinds: class values in one channel of RGB masks, and values of different files that are one class."""

from collections.abc import Sequence

import numpy as np

from segtrain.commands.check.examine import NODATA, MaskRecord, split_colors
from segtrain.commands.check.mask_values import LOOSE, Values, find_solid
from segtrain.images.reading import find_value_band

FULL = {1, 255, 65535}  # white, in masks of one, 8 and 16 bits
NEARLY_WHITE = 250


def find_band(masks: Sequence[MaskRecord]) -> int | None:
    """The channel of RGB masks, counted from 1, that holds class values where the other two are empty."""
    colors = [split_colors(mask.codes[mask.codes != NODATA]) for mask in masks if mask.is_color]
    if not colors or any(mask.codes.any() for mask in masks if not mask.is_color):
        return None
    colors = np.concatenate(colors)
    return find_value_band(colors.min(axis=0), colors.max(axis=0))


def take_band(mask: MaskRecord, band: int) -> MaskRecord:
    """The mask as this band holds it, where the other two are the same everywhere."""
    codes = np.where(mask.codes == NODATA, NODATA, split_colors(mask.codes)[:, band - 1])
    return mask._replace(is_color=False, codes=codes) if mask.is_color else mask


def find_same(masks: Sequence[MaskRecord], values: Values) -> list[int]:
    """Values that are one class: no mask has two of them, each fills areas beside 0 in a tenth of the masks, and they
    are whites of different files (1, 255, ..) and all that is beside 0, or have one colour in the palettes."""
    if values.is_color or 0 not in values.codes:
        return []
    usual = (10 * values.masks >= values.total_masks) & (values.square >= LOOSE * values.pixels) & (values.codes != 0)
    codes = values.codes[usual].tolist()
    if values.palette is not None:
        palette = values.palette[usual]
        twice = [color for color in palette.tolist() if (palette == color).sum() > 1]
        codes = values.codes[usual][palette == twice[0]].tolist() if twice else []
    elif find_solid(values)[0].sum() != len(codes) + 1 or not (set(codes) <= FULL or min(codes) >= NEARLY_WHITE):
        return []
    held = [set(mask.codes.tolist()) & {0, *codes} for mask in masks]
    apart = all(own <= {0} or (0 in own and len(own) == 2) for own in held)
    return codes if len(codes) > 1 and apart else []
