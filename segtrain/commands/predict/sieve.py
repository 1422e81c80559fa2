"""Sieve: small regions are merged into their surroundings.

GDAL's sieve, which rasterio calls, merges a region into its largest neighbor, however short their border is. Here a
region is merged into the neighbor with the longest border, and large rasters are processed in rows, with memory for the
regions only.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from segtrain.commands.predict.parts import PartFinder, PartTable

ID_BITS = 32
AT_ONCE_PX = 2**20  # pixels that are sieved at once


def sieve_labels(labels: np.ndarray, min_area_px: int, *, nodata: np.ndarray | None = None) -> np.ndarray:
    """Labels without regions of fewer than `min_area_px` pixels: HW class indices, or CHW layers of 0 and 1, which are
    sieved one by one. In layers, small holes are filled too.

    Pixels of a region are connected by their sides. The smallest region is merged first. It gets the class of the
    neighbor with the longest common border (if there are several, of the largest), and is joined with all neighbors of
    that class. Pixels where `nodata`, bool HW, is true stay as they are and are not neighbors.
    """
    if labels.ndim == 3:
        return np.stack([sieve_labels(layer, min_area_px, nodata=nodata) for layer in labels])
    rows = max(AT_ONCE_PX // labels.shape[1], 1)
    hidden = np.zeros(labels.shape, bool) if nodata is None else nodata

    def bands() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for top in range(0, len(labels), rows):
            yield labels[top : top + rows], hidden[top : top + rows]

    return np.concatenate(list(sieve_bands(bands, min_area_px)))


def sieve_bands(bands: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], min_area_px: int) -> Iterator[np.ndarray]:
    """The result of sieve_labels for a raster in bands of rows, from top to bottom. `bands` yields labels and nodata;
    it is called twice."""
    finder = PartFinder()
    borders: list[np.ndarray] = []
    above = None
    for labels, hidden in bands():
        ids = np.where(hidden, -1, finder.add(np.where(hidden, -1, labels.astype(np.int64))))
        borders.append(_count_borders(ids if above is None else np.concatenate([above, ids]), above is not None))
        above = ids[-1:]
    table = finder.table()
    classes = _merge(table, np.concatenate(borders, axis=1), min_area_px)[table.numbers]
    again = PartFinder()
    for labels, hidden in bands():
        ids = again.add(np.where(hidden, -1, labels.astype(np.int64)))
        yield np.where(hidden, labels, classes[ids].astype(labels.dtype))


def _count_borders(ids: np.ndarray, skip_first: bool) -> np.ndarray:
    """(3, borders): two ids, and the number of pixel sides they share. Borders within the first row are left out if it
    belongs to another band."""
    own = ids[1:] if skip_first else ids
    pairs = []
    for first, second in ((own[:, 1:], own[:, :-1]), (ids[1:], ids[:-1])):
        differ = (first != second) & (first >= 0) & (second >= 0)
        first, second = first[differ], second[differ]
        pairs.append(np.minimum(first, second) << ID_BITS | np.maximum(first, second))
    found, counts = np.unique(np.concatenate(pairs), return_counts=True)
    return np.stack([found >> ID_BITS, found & ((1 << ID_BITS) - 1), counts])


def _small_parts(table: PartTable, borders: np.ndarray, min_area_px: int) -> dict[int, dict[int, int]]:
    """The parts that are too small: the neighbors of each, and the length of the border with each neighbor."""
    one, other = table.numbers[borders[:2]]
    one, other, lengths = np.append(one, other), np.append(other, one), np.append(borders[2], borders[2])
    small = (table.areas[one] < min_area_px) & (one != other)
    around: dict[int, dict[int, int]] = {part: {} for part in np.flatnonzero(table.areas < min_area_px).tolist()}
    for part, neighbor, length in zip(*(column[small].tolist() for column in (one, other, lengths)), strict=True):
        nearby = around[part]
        nearby[neighbor] = nearby.get(neighbor, 0) + length
    return around


def _merge(table: PartTable, borders: np.ndarray, min_area_px: int) -> np.ndarray:
    """The class of each part after all that are too small have been merged into a neighbor."""
    areas, classes = table.areas.tolist(), table.classes.tolist()
    around = _small_parts(table, borders, min_area_px)
    goes_to = list(range(len(areas)))

    def find(part: int) -> int:
        while goes_to[part] != part:
            goes_to[part] = part = goes_to[goes_to[part]]
        return part

    def unite(part: int, other: int) -> int:
        """Merge the smaller of two parts into the larger one, which is returned."""
        kept, gone = (part, other) if areas[part] >= areas[other] else (other, part)
        goes_to[gone] = kept
        areas[kept] += areas[gone]
        nearby, own = around.pop(gone, {}), around.get(kept)
        if own is not None:
            for neighbor, length in nearby.items():
                own[neighbor] = own.get(neighbor, 0) + length
        return kept

    waiting = [(areas[part], part) for part in around if classes[part] >= 0]
    heapq.heapify(waiting)
    while waiting:
        area, part = heapq.heappop(waiting)
        if goes_to[part] != part or areas[part] != area:
            continue  # it has been merged, or has grown and is queued again
        lengths: dict[int, int] = defaultdict(int)
        for other, length in around[part].items():
            if (root := find(other)) != part:
                lengths[root] += length
        if not lengths:
            continue
        target = max(lengths, key=lambda root: (lengths[root], areas[root], -root))
        taken = classes[target]
        for root in lengths:
            if root != target and classes[root] == taken:
                target = unite(target, root)
        kept = unite(target, part)
        classes[kept] = taken
        if areas[kept] < min_area_px:
            heapq.heappush(waiting, (areas[kept], kept))
    return np.array([classes[find(part)] for part in range(len(areas))], np.int64)
