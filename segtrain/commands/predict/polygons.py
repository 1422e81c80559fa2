"""Polygons: outlines of regions along the sides of pixels, so that filling them gives the mask again.

Coordinates are whole numbers of pixels: (0, 0) is the top left corner of the image, x runs to the right and y down. The
first pixel extends from (0, 0) to (1, 1), and its center is (0.5, 0.5). The pixels of a region are connected by their
sides; pixels that touch only at a corner belong to two regions.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from segtrain.commands.predict.parts import PartFinder
from segtrain.commands.predict.simplify import Rings, cut_polygon, simplify_rings
from segtrain.inference.task import Task

WAYS = 4  # directions of a side: right, down, left, up; its part is on its right
BAND_PX = 2**20  # pixels that are traced at once
SIDES_AT_ONCE = 2**19
WAY_BITS = 60  # these lower bits hold the number of the corner where a side starts, those above its direction


class Region(NamedTuple):
    """A connected region of one class.

    `index` is the class, `area_px` the number of pixels, and `box` their bounding box: (left, top, width, height).
    `rings` are the corners (N, 2) int64 of x and y; the first point is not repeated at the end. The outline comes
    first. With y pointing up it is counterclockwise, as in RFC 7946, so it is clockwise on screen; holes run the other
    way. No ring touches itself. `pixels` is the mask of a region with holes, bool, in its box; None if the pixels are
    not in memory or the rings are simplified.
    """

    index: int
    area_px: int
    box: tuple[int, int, int, int]
    rings: list[np.ndarray]
    pixels: np.ndarray | None


def classes_drawn(task: Task) -> dict[int, str]:
    """The indices and names of the classes that are drawn: all but the background of a binary task."""
    return dict(list(enumerate(task.names))[int(task.mode == "binary") :])


def find_regions(labels: np.ndarray, task: Task, *, simplify_px: float) -> Iterator[Region]:
    """The regions of a prediction, HW class indices or in multilabel CHW layers of 0 and 1, class by class. Values that
    are not classes are not drawn. For `simplify_px` see simplify_rings; 0 is exact. Commands use Result.regions, which
    knows `simplify_px`."""
    layers = labels if labels.ndim == 3 else labels[None]
    for tracer, layer in zip(build_tracers(task, labels.shape[-1], simplify_px=simplify_px), layers, strict=True):
        yield from tracer.regions(tracer.add(layer))


def build_tracers(task: Task, width: int, *, simplify_px: float) -> list["Tracer"]:
    """A tracer for class indices; in multilabel one for each layer."""
    if task.mode == "multilabel":
        return [Tracer(width, {1: index}, simplify_px=simplify_px) for index in range(len(task.names))]
    return [Tracer(width, {index: index for index in classes_drawn(task)}, simplify_px=simplify_px)]


def trace_regions(labels: np.ndarray, indices: set[int], *, simplify_px: float = 0.0) -> list[Region]:
    """The regions of these classes in HW class indices, class by class, each from top to bottom."""
    tracer = Tracer(labels.shape[1], {index: index for index in indices}, simplify_px=simplify_px)
    return list(tracer.regions(tracer.add(labels)))


class Tracer:
    """Traces the regions of a raster whose rows are added in bands, from top to bottom. Memory grows with the length of
    the outlines, not with the number of pixels.

    Args:
        width: the width of the raster in pixels.
        indices: the values to trace, and the class of each.
        simplify_px: see simplify_rings; 0 is exact.
    """

    def __init__(self, width: int, indices: Mapping[int, int], *, simplify_px: float):
        self._width = width
        self._indices = indices
        self._simplify_px = simplify_px
        # Simplified regions must fit all of their neighbors, including those that are not drawn.
        self._parts = PartFinder(None if simplify_px else indices.keys())
        self._above = np.full((2, 1, width), -1, np.int64)  # labels and ids of the row above
        self._rows = 0
        self._sides: list[np.ndarray] = []  # (3, n): start and direction, end, id of the part
        self._stops: list[np.ndarray] = []
        self._rings: Rings | None = None

    def add(self, labels: np.ndarray) -> np.ndarray:
        """Add the next rows, (rows, W) class indices. Returns their ids, (rows, W) int32, as PartFinder.add does."""
        rows = max(BAND_PX // self._width, 1)
        bands = (labels[top : top + rows] for top in range(0, len(labels), rows))
        return np.concatenate([self._add_band(band) for band in bands])

    def _add_band(self, labels: np.ndarray) -> np.ndarray:
        ids = self._parts.add(labels)
        both = np.stack([labels.astype(np.int64), ids])
        self._add_sides(np.concatenate([self._above, both], axis=1))
        self._above = both[:, -1:]
        self._rows += len(labels)
        return ids.astype(np.int32)

    def regions(self, ids: np.ndarray | None = None) -> Iterator[Region]:
        """The regions, once all rows have been added; with their pixels if `ids` are those of all rows."""
        table = self._parts.table()
        if self._rings is None:
            self._rings = self._trace(table.numbers)
        for part, rings in self._rings.by_owner():
            index, box, pixels = int(table.classes[part]), tuple(table.boxes[part].tolist()), None
            if index not in self._indices:
                continue
            if ids is not None and len(rings) > 1 and not self._simplify_px:
                left, top, width, height = box
                inside = ids[top : top + height, left : left + width]
                pixels = (inside >= 0) & (table.numbers[inside] == part)
            yield Region(self._indices[index], int(table.areas[part]), box, rings, pixels)

    def _trace(self, numbers: np.ndarray) -> Rings:
        self._add_sides(np.concatenate([self._above, np.full((2, 1, self._width), -1, np.int64)], axis=1), last=True)
        starts, ends, owners = np.concatenate(self._sides, axis=1)
        self._sides.clear()
        stops = np.concatenate([*self._stops, np.zeros(0, np.int64)])
        rings = _join_sides(starts, ends, numbers[owners], np.sort(stops), self._width + 1)
        return simplify_rings(rings, self._simplify_px) if self._simplify_px else rings

    def _add_sides(self, both: np.ndarray, *, last: bool = False) -> None:
        """Add the sides between rows, of which the first is the row above the band, and between the columns of the
        others."""
        labels, ids = np.pad(both, ((0, 0), (0, 0), (1, 1)), constant_values=-1)
        across, down = labels[1:] != labels[:-1], labels[1:, 1:] != labels[1:, :-1]
        stops = np.zeros((len(labels) - 1, self._width + 1), bool)  # at corners on the lines between the rows
        if self._simplify_px:
            meeting = across[:, :-1].astype(np.int8) + across[:, 1:] + (labels[:-1, 1:] != labels[:-1, :-1]) + down
            stops = meeting > 2
            if last or self._rows == 0:
                stops[-1 if last else 0, [0, -1]] = True  # the corners of the image
            line, column = np.nonzero(stops)
            self._stops.append((self._rows + line) * (self._width + 1) + column)
        columns = down[: 0 if last else None].T
        kinds = [
            (0, np.where(across, ids[1:], -1)[:, 1:-1], stops),
            (2, np.where(across, ids[:-1], -1)[:, 1:-1], stops),
            (1, np.where(columns, ids[1:, :-1][: columns.shape[1]].T, -1), stops[: columns.shape[1]].T),
            (3, np.where(columns, ids[1:, 1:][: columns.shape[1]].T, -1), stops[: columns.shape[1]].T),
        ]
        for way, owners, cut_at in kinds:
            line, begin, end, owner = _runs(owners, cut_at)
            if way % 2:
                begin, end = ((self._rows + place) * (self._width + 1) + line for place in (begin, end))
            else:
                begin, end = ((self._rows + line) * (self._width + 1) + place for place in (begin, end))
            start, end = (begin, end) if way < 2 else (end, begin)
            self._sides.append(np.stack([start | (way << WAY_BITS), end, owner]))


def _runs(owners: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, ...]:
    """Line, begin, end and owner of each run along the lines that has one owner, 0 or more. Runs are cut at the
    stops."""
    padded = np.pad(owners, ((0, 0), (1, 1)), constant_values=-1)
    cuts = padded[:, 1:] != padded[:, :-1]
    cuts[:, : stops.shape[1]] |= stops
    line, place = np.nonzero(cuts)
    owner = padded[line, place + 1]
    begins = np.flatnonzero(owner >= 0)
    return line[begins], place[begins], place[begins + 1], owner[begins]


def _join_sides(starts: np.ndarray, ends: np.ndarray, owners: np.ndarray, stops: np.ndarray, across: int) -> Rings:
    """The rings that the sides form. Regions are joined in groups, because Python lists take memory."""
    order = np.argsort(owners, kind="stable")
    starts, ends, owners = starts[order], ends[order], owners[order]
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    wanted = np.arange(0, len(owners), SIDES_AT_ONCE)
    cuts = [*np.unique(firsts[np.searchsorted(firsts, wanted, side="right") - 1]).tolist(), len(owners)]
    spans = [slice(*span) for span in pairwise(cuts)] or [slice(0)]
    some = [_join_some(starts[span], ends[span], owners[span], stops, across) for span in spans]
    points, bounds, ring_owners, is_stop = (list(column) for column in zip(*some, strict=True))
    before = np.cumsum([0, *map(len, points[:-1])])
    bounds = [own + count for own, count in zip(bounds, before, strict=True)]
    return Rings(*map(np.concatenate, (points, bounds, ring_owners, is_stop)))


def _join_some(starts: np.ndarray, ends: np.ndarray, owners: np.ndarray, stops: np.ndarray, across: int) -> Rings:
    """The rings of complete regions.

    At a corner where two pixels of a part touch, rings turn left. The pixels of a part are connected by their sides, so
    the part itself surrounds one of the two gaps at this corner. Turning left makes that gap a hole with its own ring.
    """
    order = np.argsort(starts)
    starts, ends, owners = starts[order], ends[order], owners[order]
    following = np.full(len(starts), -1)
    for turn in (1, 0, 3):  # right, straight on, left: the last one that exists
        wanted = ends | (((starts >> WAY_BITS) + turn) % WAYS << WAY_BITS)
        found = np.searchsorted(starts, wanted).clip(max=len(starts) - 1)
        there = (starts[found] == wanted) & (owners[found] == owners)
        following[there] = found[there]
    cycles, bounds = _find_cycles(following.tolist())
    order, bounds = np.array(cycles, np.int64), np.array(bounds, np.int64)
    starts, owners = starts[order], owners[order]
    corners, ways = starts & ((1 << WAY_BITS) - 1), starts >> WAY_BITS
    is_stop = np.append(stops, -1)[np.searchsorted(stops, corners)] == corners
    before = np.arange(-1, len(order) - 1)
    before[bounds] = np.append(bounds[1:], len(order))[: len(bounds)] - 1
    kept = is_stop | (ways != ways[before])  # sides that were cut between two bands go straight on
    bounds = np.concatenate([[0], np.cumsum(kept)])[bounds]
    y, x = np.divmod(corners[kept], across)
    return Rings(np.stack([x, y], axis=1), bounds, owners[kept][bounds], is_stop[kept])


def _find_cycles(following: list[int]) -> tuple[list[int], list[int]]:
    """The cycles of a permutation one after another, and where each begins. Sets the entries of `following` to -1."""
    order: list[int] = []
    bounds: list[int] = []
    for first in range(len(following)):
        if following[first] >= 0:
            bounds.append(len(order))
        side = first
        while (after := following[side]) >= 0:
            order.append(side)
            following[side] = -1
            side = after
    return order, bounds


def cut_holes(region: Region) -> list[np.ndarray]:
    """Rings (N, 2) that together cover a region without overlaps, for formats that do not support holes. The region is
    cut along the left side of each hole, which opens the hole; a simplified region is cut along the middle of each
    hole."""
    outline, *holes = region.rings
    if not holes:
        return [outline]
    if region.pixels is None:
        return cut_polygon(region.rings)
    corner = np.array(region.box[:2])
    cuts = np.unique([hole[:, 0].min() - corner[0] for hole in holes])
    strips = 1 + np.searchsorted(cuts, np.arange(region.box[2]), side="right") % 2  # only neighbors must differ
    pieces = trace_regions(region.pixels * strips, {1, 2})
    return [piece.rings[0] + corner for piece in pieces]
