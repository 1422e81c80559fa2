"""Fixes: what `check --apply` does to files. Every file that is replaced or taken out is kept as NAME.aside."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segtrain.commands.check.finding import Change
from segtrain.errors import DataError
from segtrain.files import explained_write, replacing
from segtrain.images.bands import upright


def make_change(change: Change) -> Path:
    """Rename a file to NAME.aside (NAME.aside2, .. where that exists), and put the edited file in its place.

    Returns the path of what was renamed. The new file is complete before the old one moves. Raises DataError where the
    file cannot be read or written, or the new one would overwrite another.
    """
    path = Path(change.file)
    target = path.with_suffix(change.suffix or path.suffix)
    aside = next(a for a in (Path(f"{path}.aside{n}") for n in chain([""], count(2))) if not a.exists())
    if target != path and target.exists():
        raise DataError(f"{path}: cannot become {target}, which exists; move one of them away")
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
        with Image.open(source) as picture:
            pixels, palette = np.asarray(picture), picture.getpalette() if picture.mode == "P" else []
    except UnidentifiedImageError as error:
        raise DataError(f"{source}: cannot be changed here: it is not of a type that Pillow reads") from error
    edited = Image.fromarray(np.ascontiguousarray(edit(pixels)))
    if palette:
        edited.putpalette(palette + [0] * (768 - len(palette)))  # a short one would be written with fewer bits
    edited.save(target)


def turn(file: str, orientation: int) -> Change:
    """Turn a mask as EXIF turns its image, whose orientation is 2..8."""
    return Change(file, partial(upright, orientation=orientation))


def resize(file: str, height: int, width: int) -> Change:
    """Give a mask the size of its image, each pixel the value of the nearest one."""
    return Change(file, partial(pick_pixels, height=height, width=width))


def pick_pixels(pixels: NDArray, height: int, width: int) -> NDArray:
    """HW or HWC resized to height x width by repeating or dropping rows and columns, so that no value is invented."""
    rows = (np.arange(height) + 0.5) * pixels.shape[0] / height
    columns = (np.arange(width) + 0.5) * pixels.shape[1] / width
    return pixels[rows.astype(int)[:, None], columns.astype(int)]


def snap(file: str, values: Sequence[int] | Sequence[Sequence[int]]) -> Change:
    """Give every pixel of a mask the nearest of these values, or RGB colours, 0..255; the new file is a PNG."""
    return Change(file, partial(snap_pixels, values=np.array(values)), ".png")


def snap_pixels(pixels: NDArray, values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """HW or HWC, and values (n,) or colours (n, 3) -> HW or HWC uint8: the nearest one by the sum over channels."""
    values = values.reshape(len(values), -1)  # (n, 1) or (n, 3)
    pixels = pixels.astype(np.int64) if pixels.ndim == 3 else pixels.astype(np.int64)[..., None]
    pixels = pixels[..., : values.shape[1]]
    nearest = np.argmin([abs(pixels - value).sum(axis=2) for value in values], axis=0)
    return (
        values.astype(np.uint8)[nearest].squeeze(axis=2) if values.shape[1] == 1 else values.astype(np.uint8)[nearest]
    )


def swap(file: str, low: int, high: int) -> Change:
    """Exchange two values of a mask."""
    return Change(file, partial(swap_values, low=low, high=high))


def swap_values(pixels: NDArray, low: int, high: int) -> NDArray:
    """The pixels with two values exchanged, of the same type."""
    return np.where(pixels == low, high, np.where(pixels == high, low, pixels)).astype(pixels.dtype)
