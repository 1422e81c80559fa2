"""Fixes: what `check --apply` does to files. Every file that is replaced or taken out is kept as NAME.aside."""

from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segtrain.commands.check.finding import Change
from segtrain.errors import DataError
from segtrain.files import explained_write, replacing
from segtrain.images.reading import TYPES


def make_change(change: Change) -> Path:
    """Rename a file to NAME.aside (NAME.aside2, .. where that exists), and put the edited file in its place.

    Returns the path of what was renamed. The new file is complete before the old one moves. Raises DataError where the
    file cannot be read or written, or the new one would overwrite another.
    """
    path = Path(change.file)
    target = path.with_suffix(change.suffix or path.suffix)
    aside = next(a for a in (Path(f"{path}.aside{n}") for n in chain([""], count(2))) if not a.exists())
    if target != path and target.exists():
        raise DataError(f"{path}: cannot be renamed to {target}, which exists; move one of them elsewhere")
    with explained_write(path):
        if change.edit is None:
            path.rename(aside)
        else:
            with replacing(target) as temporary:
                _edit(path, temporary, change.edit)
                path.rename(aside)
    return aside


def _edit(source: Path, target: Path, edit: Callable[[NDArray], NDArray]) -> None:
    """Write the edited pixels of an image file; a palette stays as it is."""
    if source.suffix.lower() == ".npy":
        np.save(target, edit(np.load(source)))
        return
    try:
        with Image.open(source, formats=TYPES) as picture:
            pixels, palette = np.asarray(picture), picture.getpalette() if picture.mode == "P" else []
    except UnidentifiedImageError as error:
        raise DataError(f"{source}: cannot be changed: Pillow cannot read its type") from error
    edited = Image.fromarray(np.ascontiguousarray(edit(pixels)))
    if palette:
        edited.putpalette(palette + [0] * (768 - len(palette)))  # a short one would be written with fewer bits
    edited.save(target)


def pick_pixels(pixels: NDArray, height: int, width: int) -> NDArray:
    """HW or HWC resized to height x width by repeating or dropping rows and columns, so that no value is invented."""
    rows = (np.arange(height) + 0.5) * pixels.shape[0] / height
    columns = (np.arange(width) + 0.5) * pixels.shape[1] / width
    return pixels[rows.astype(int)[:, None], columns.astype(int)]


def snap_pixels(pixels: NDArray, values: Sequence[int] | Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """HW or HWC, and n values or RGB colors, 0..255 -> HW or HWC uint8: the nearest one by the sum over channels."""
    table = np.array(values, np.int64).reshape(len(values), -1)  # (n, 1) or (n, 3)
    pixels = np.atleast_3d(pixels).astype(np.int64)[..., : table.shape[1]]
    nearest = np.argmin([abs(pixels - value).sum(axis=2) for value in table], axis=0)
    return np.array(values, np.uint8)[nearest]


def swap_values(pixels: NDArray, values: tuple[int, int]) -> NDArray:
    """The pixels with two values exchanged, of the same type."""
    low, high = values
    return np.where(pixels == low, high, np.where(pixels == high, low, pixels)).astype(pixels.dtype)
