"""Tiling: images larger than `data.tile`, such as orthophotos, as samples of windows that partition them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from segtrain.config.data_schema import DataConfig
from segtrain.data.statistics import ClassStatistics, map_in_threads
from segtrain.errors import DataError
from segtrain.files import Window, split_window, window_path
from segtrain.formats import read_dataset
from segtrain.formats.sample import OneSampleError, Sample, SampleTable, Splits, require_mask_size
from segtrain.images.reading import image_size
from segtrain.images.windows import find_storage

SLOW = 4  # times the pixels of a window that are decoded for it
CONVERSION = "gdal_translate -co TILED=YES -co COMPRESS=DEFLATE"


def read_tiled(config: DataConfig, *arguments: Any, notes: list[str] | None = None, **options: Any) -> Splits:
    """The result of formats.read_dataset for these arguments, with images larger than data.tile cut into windows. If
    there is a single image, a block at its end is held out instead of a share of the images.

    Appends to `notes` if nothing is cut, what is held out, and what is slow. Raises DataError as read_dataset does, and
    for an image and a mask of different sizes.
    """
    told: list[str] = []
    try:
        splits = read_dataset(*arguments, notes=notes, **options)
        splits = {split: cut_images(samples, config.tile) for split, samples in splits.items()}
    except OneSampleError as error:
        block = hold_out_block(error.sample, config.tile, error.fraction, told)
        splits = {split: cut_images(table, config.tile) for split, table in error.others.items()} | block
    files = {path: None for table in splits.values() for sample in table for path in _cut_files(sample)}
    if not files:
        told.append(f"data.tile: {config.tile}: no image is larger, so none is cut")
    elif config.cache != "ram":
        told += _find_slow(files, config.tile)
    if notes is not None:
        notes += told
    return splits


def edges_of(side: int, tile: int) -> list[int]:
    """Where windows begin and end along a side of an image, from 0 to its length: every `tile` pixels. What is left at
    the end is a window of its own if it has a quarter of `tile`, else part of the one before.

    >>> edges_of(2500, 1000), edges_of(2100, 1000)
    ([0, 1000, 2000, 2500], [0, 1000, 2100])
    """
    count = max(1, (side + tile - -(-tile // 4)) // tile)
    return [*(index * tile for index in range(count)), side]


def cut_images(samples: Sequence[Sample], tile: int) -> SampleTable:
    """The samples, in their order, with images that are larger than `tile` replaced by their windows, row by row.

    Raises DataError for an image whose size cannot be read, and for a mask of another size than its image.
    """

    def find_size(index: int) -> tuple[int, int]:
        return image_size(samples[index].image)

    sizes = map_in_threads(find_size, range(len(samples)), "looking for large images")
    pairs = zip(samples, sizes, strict=True)
    return SampleTable(part for sample, (height, width) in pairs for part in cut_image(sample, height, width, tile))


def cut_image(sample: Sample, height: int, width: int, tile: int) -> list[Sample]:
    """The windows of an image of this size, or the sample itself if it is not larger than `tile`."""
    rows, columns = edges_of(height, tile), edges_of(width, tile)
    if len(rows) == len(columns) == 2 or "\t" in sample.mask:
        return [sample]
    files = sample.mask.split("\n")
    for file in filter(None, files):
        require_mask_size(sample, file, (height, width), image_size(file))
    digits, windows = len(str(max(height, width))), []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            place = partial(window_path, window=Window(left, top, right - left, bottom - top))
            name = f"{sample.name}_y{top:0{digits}}_x{left:0{digits}}"
            mask = "\n".join(file and place(file) for file in files)
            windows.append(Sample(name, place(sample.image), mask, sample.group))
    return windows


def hold_out_block(sample: Sample, tile: int, fraction: float, notes: list[str]) -> Splits:
    """The windows of one image as train and val: val are those at the end of its longer side, next to `fraction` of it.

    Raises DataError where the image is not larger than `tile`.
    """
    height, width = image_size(sample.image)
    axis = 0 if width >= height else 1  # of Window: left, top
    side = (width, height)[axis]
    between = edges_of(side, tile)[1:-1]
    if not between:
        what = f"{sample.image} is {width} x {height} pixels and data.tile is {tile}"
        raise DataError(
            f"data: a single image is split into training and validation by windows, but {what}; write a "
            f"smaller data.tile"
        )
    border = min(between, key=lambda edge: abs(edge - (1 - fraction) * side))
    windows = SampleTable(cut_image(sample, height, width, tile))
    held = [split_window(part.image)[1][axis] >= border for part in windows]
    where = f"{('columns', 'rows')[axis]} {border} to {side - 1}"
    notes.append(f"a single image, {sample.image}: {where} ({1 - border / side:.0%}) are held out for validation")
    return {"train": windows.where(not item for item in held), "val": windows.where(held)}


def _cut_files(sample: Sample) -> Iterator[str]:
    """The image and mask files of a window; none of a whole image."""
    if split_window(sample.image)[1] is not None:
        yield from (split_window(file)[0] for file in (sample.image, *sample.mask.split("\n")) if file)


def _find_slow(files: Sequence[str], tile: int) -> Iterator[str]:
    """A line for each way in which files are stored that makes windows slow, with the first of them."""
    found: dict[str, list[str]] = {}
    for file in files:
        storage = find_storage(file, tile=tile)
        if storage.reason:
            found.setdefault(f"read entirely for each window, because {storage.reason}", []).append(file)
        elif storage.decoded > SLOW:
            found.setdefault("decoded far beyond each window, because strips are as wide as the image", []).append(file)
    for how, slow in found.items():
        more = f" and {len(slow) - 1} more are" if len(slow) > 1 else " is"
        yield (
            f"{slow[0]}{more} {how}: training will be slow; convert to a tiled TIFF ({CONVERSION} FROM TO.tif), "
            "or write data.cache: ram"
        )


def fold_groups(samples: Sequence[Sample], groups: Sequence[str], folds: int) -> list[str]:
    """The `groups` of the samples where they are enough for so many folds. Else an image that is cut is as many groups:
    blocks along its longer side."""
    if len(set(groups)) >= folds:
        return list(groups)
    windows = [split_window(sample.image)[1] for sample in samples]
    ends: dict[str, np.ndarray] = {}
    for sample, window in zip(samples, windows, strict=True):
        if window is not None:
            end = np.array([window.left + window.width, window.top + window.height])
            ends[sample.whole_name] = np.maximum(ends.get(sample.whole_name, 0), end)
    parts = []
    for sample, window, group in zip(samples, windows, groups, strict=True):
        size = ends.get(sample.whole_name)
        axis = int(np.argmax(size)) if window is not None else 0
        parts.append(group if window is None else f"{group}/{window[axis] * folds // int(size[axis])}")
    return parts


def find_shared(samples: Sequence[Sample], others: Sequence[Sample]) -> list[str]:
    """The images of the samples, sorted, of which others have pixels: the same file, or a window that overlaps."""
    held: dict[str, list[Window]] = {}
    whole = Window(0, 0, 1 << 62, 1 << 62)
    for sample in others:
        path, window = split_window(os.path.abspath(sample.image))
        held.setdefault(path, []).append(window or whole)
    found = set()
    for sample in samples:
        path, window = split_window(os.path.abspath(sample.image))
        if any(_overlap(window or whole, other) for other in held.get(path, ())):
            found.add(os.path.abspath(sample.image))
    return sorted(found)


def _overlap(one: Window, other: Window) -> bool:
    across = max(one.left, other.left) < min(one.columns.stop, other.columns.stop)
    return across and max(one.top, other.top) < min(one.rows.stop, other.rows.stop)


def drop_ignored(splits: Splits, statistics: ClassStatistics) -> tuple[Splits, ClassStatistics]:
    """Without the training windows whose masks hold nothing but ignored pixels, unless all do; says how many."""
    samples = splits["train"]
    windowed = np.array([split_window(sample.image)[1] is not None for sample in samples], bool)
    kept = ~(windowed & statistics.ignored)
    if kept.all() or not kept.any():
        return splits, statistics
    print(f"data.tile: {(~kept).sum()} of {len(samples)} training samples are windows without a label and are left out")
    changed = replace(statistics, presence=statistics.presence[kept], ignored=statistics.ignored[kept])
    return splits | {"train": samples.where(kept.tolist())}, changed
