"""Parts: connected components of a label raster, found in bands of rows from top to bottom."""

from collections.abc import Set
from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class PartTable(NamedTuple):
    """All parts of a raster, class by class, each from top to bottom.

    `numbers` (ids,) int64 is the part of each id that PartFinder.add returned. `classes` (parts,) int64 is the class of
    each part, `areas` (parts,) int64 its pixels, `boxes` (parts, 4) int64 its left, top, width and height.
    """

    numbers: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray


class PartFinder:
    """Numbers the parts of a raster whose rows are added in bands. Pixels of a part are connected by their sides.
    Memory grows with the number of parts, not of pixels.

    Args:
        indices: the classes whose parts are numbered; None means all classes.
    """

    def __init__(self, indices: Set[int] | None = None):
        self._indices = indices
        self._classes: list[np.ndarray] = []
        self._stats: list[np.ndarray] = []
        self._joins: list[np.ndarray] = []
        self._above: tuple[np.ndarray, np.ndarray] | None = None
        self._rows = self._count = 0

    def add(self, labels: np.ndarray) -> np.ndarray:
        """Add the next rows, (rows, W) integers. Returns the ids of their parts, (rows, W) int64 from 0, and -1 for
        other classes. A part that continues in another band has several ids; `table` has the part of each id."""
        ids = np.full(labels.shape, -1, np.int64)
        for index in np.unique(labels).tolist():
            if self._indices is not None and index not in self._indices:
                continue
            mask = (labels == index).view(np.uint8)
            count, numbered, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_32S)
            np.copyto(ids, numbered.astype(np.int64) + (self._count - 1), where=mask.view(bool))
            stats = stats[1:count].astype(np.int64)
            stats[:, 1] += self._rows
            self._stats.append(stats)
            self._classes.append(np.full(count - 1, index, np.int64))
            self._count += count - 1
        if self._above is not None:
            labels_above, ids_above = self._above
            same = (labels_above == labels[0]) & (ids[0] >= 0)
            self._joins.append(np.unique(np.stack([ids_above[same], ids[0][same]], axis=1), axis=0))
        self._above = labels[-1].copy(), ids[-1].copy()
        self._rows += len(labels)
        return ids

    def table(self) -> PartTable:
        """The parts of all rows so far."""
        if not self._count:
            return PartTable(*(np.zeros(shape, np.int64) for shape in (0, 0, 0, (0, 4))))
        classes, stats = np.concatenate(self._classes), np.concatenate(self._stats)
        joins = np.concatenate([np.zeros((0, 2), np.int64), *self._joins])
        graph = coo_array((np.ones(len(joins), bool), (joins[:, 0], joins[:, 1])), shape=(self._count, self._count))
        count, groups = connected_components(graph, directed=False)
        first = np.full(count, self._count)
        np.minimum.at(first, groups, np.arange(self._count))
        order = np.lexsort((first, classes[first]))
        numbers = np.empty(count, np.int64)
        numbers[order] = np.arange(count)
        numbers = numbers[groups]
        left, top, width, height, area = stats.T
        begins, ends = np.full((count, 2), np.iinfo(np.int64).max), np.zeros((count, 2), np.int64)
        areas = np.zeros(count, np.int64)
        np.minimum.at(begins, numbers, np.stack([left, top], axis=1))
        np.maximum.at(ends, numbers, np.stack([left + width, top + height], axis=1))
        np.add.at(areas, numbers, area)
        return PartTable(numbers, classes[first[order]], areas, np.concatenate([begins, ends - begins], axis=1))
