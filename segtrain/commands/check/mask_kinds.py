"""Mask kinds: class values in one channel of RGB masks, and values of different files that are one class."""

from collections.abc import Sequence

import numpy as np

from segtrain.commands.check.examine import NODATA, MaskRecord, split_colors
from segtrain.commands.check.mask_values import LOOSE, Values, find_solid
from segtrain.images.bands import find_value_band

FULL = {1, 255, 65535}  # white, in masks of one, 8 and 16 bits
NEARLY_WHITE = 250
MOST_STRETCHED = 50  # the largest class index that is looked for stretched to 0..255


def find_band(masks: Sequence[MaskRecord]) -> int | None:
    """The channel of RGB masks, counted from 1, that holds class values where the other two are empty, or the alpha
    channel where the masks are in that."""
    if len(alpha := {mask.band for mask in masks}) == 1:
        band = alpha.pop()
        if band is not None:
            return band
    colors = [split_colors(mask.codes[mask.codes != NODATA]) for mask in masks if mask.is_color]
    if not colors or any(mask.codes.any() for mask in masks if not mask.is_color):
        return None
    colors = np.concatenate(colors)
    return find_value_band(colors.min(axis=0), colors.max(axis=0))


def take_band(mask: MaskRecord, band: int) -> MaskRecord:
    """The mask as this band holds it, where the other two are the same everywhere."""
    if mask.band == band:
        return mask._replace(band=None)
    codes = np.where(mask.codes == NODATA, NODATA, split_colors(mask.codes)[:, band - 1])
    return mask._replace(is_color=False, codes=codes) if mask.is_color else mask


def find_same(masks: Sequence[MaskRecord], values: Values) -> list[int]:
    """Values that are one class: no mask has two of them, each fills areas beside 0 in a tenth of the masks, and they
    are whites of different files (1, 255, ..) and all that is beside 0, or have one color in the palettes; or each
    mask has 255 in areas or the other one."""
    if values.is_color or 0 not in values.codes:
        return []
    usual = (10 * values.masks >= values.total_masks) & (values.square >= LOOSE * values.pixels) & (values.codes != 0)
    codes = every = values.codes[usual].tolist()
    if values.palette is not None:
        palette = values.palette[usual]
        twice = [color for color in palette.tolist() if (palette == color).sum() > 1]
        codes = values.codes[usual][palette == twice[0]].tolist() if twice else []
    elif find_solid(values)[0].sum() != len(codes) + 1 or not (set(codes) <= FULL or min(codes) >= NEARLY_WHITE):
        codes = []
    held = [set(mask.codes.tolist()) & {0, *codes} for mask in masks]
    apart = all(own <= {0} or (0 in own and len(own) == 2) for own in held)
    return codes if len(codes) > 1 and apart else _find_habits(masks, every)


def _find_habits(masks: Sequence[MaskRecord], codes: list[int]) -> list[int]:
    """255 and the one value that a mask has if, and only if, it has no areas of 255; two masks or more have each."""
    found = []
    white = [255 in mask.codes and mask.thick > 0 for mask in masks]
    for code in codes if 255 in codes and min(sum(white), len(white) - sum(white)) > 1 else ():
        if code != 255 and all((code in mask.codes) != there for mask, there in zip(masks, white, strict=True)):
            found.append(code)
    return [*found, 255] if len(found) == 1 else []


def find_stretched(masks: Sequence[MaskRecord]) -> dict[int, int]:
    """{value: the same class in other masks}, where some masks have 1, 2, .. n, and others k * 255 / n in place of k,
    so that they can be seen; two masks or more are of each kind. Empty where no mask is stretched."""
    held = [{*mask.codes.tolist()} - {0, NODATA} for mask in masks if not mask.is_color]
    low = [own for own in held if own and max(own) <= MOST_STRETCHED]
    high = [own for own in held if own and max(own) > MOST_STRETCHED]
    if min(len(low), len(high)) < 2:
        return {}
    n, seen = max(map(max, low)), set.union(*high)
    for stretch in (lambda k: 255 * k // n, lambda k: round(255 * k / n), lambda k: 255 // n * k):
        pairs = {k: stretch(k) for k in range(1, n + 1)}
        if n > 1 and len(seen) > 1 and seen <= {*pairs.values()}:
            return pairs
    return {}
