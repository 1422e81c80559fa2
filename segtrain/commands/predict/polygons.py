"""Polygons: outlines of regions that follow the pixels, so that filling them gives the mask again.

Coordinates are whole numbers in pixels, (0, 0) the top left corner of the image, x to the right and y down, so that the
first pixel reaches from (0, 0) to (1, 1) and its middle is (0.5, 0.5). A region is connected by sides of
pixels; pixels that touch at a corner alone are two regions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from segtrain.inference.task import Task


class Region(NamedTuple):
    """A connected region of one class.

    `index` is the class, `box` (left, top, width, height), `rings` the corners (N, 2) int64 of x and y, each ring
    without its first point again: the outline, counterclockwise as RFC 7946 wants it where y is taken to point up
    (clockwise to the eye), then each hole the other way round. No ring meets itself. `pixels` are those of a region
    with holes, bool in its box.
    """

    index: int
    area_px: int
    box: tuple[int, int, int, int]
    rings: list[np.ndarray]
    pixels: np.ndarray | None


def classes_drawn(task: Task) -> dict[int, str]:
    """Index and name of the classes that are drawn: all but the background of a binary task."""
    return dict(list(enumerate(task.names))[int(task.mode == "binary") :])


def find_regions(labels: np.ndarray, task: Task) -> Iterator[Region]:
    """The regions of a prediction, HW class indices or in multilabel CHW layers of 0 and 1, class by class."""
    if labels.ndim == 3:
        for index, layer in enumerate(labels):
            yield from (region._replace(index=index) for region in trace_regions(layer, {1}))
    else:
        yield from trace_regions(labels, set(classes_drawn(task)))


def trace_regions(labels: np.ndarray, indices: set[int]) -> list[Region]:
    """The regions of these classes in HW class indices, class by class, each from top to bottom."""
    parts = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), np.int32)
    inner = parts[1:-1, 1:-1]
    found: list[tuple[int, np.ndarray]] = []  # class; left, top, width, height, area
    for index in np.unique(labels).tolist():
        if index not in indices:
            continue
        mask = (labels == index).view(np.uint8)
        count, numbered, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_32S)
        np.copyto(inner, numbered + len(found), where=mask.view(bool))
        found += [(index, box) for box in boxes[1:count]]
    outlines: list[list[np.ndarray]] = [[] for _ in found]
    holes: list[list[np.ndarray]] = [[] for _ in found]
    for part, twice_area, ring in _trace_rings(parts):
        (outlines if twice_area > 0 else holes)[part - 1].append(ring)
    regions = []
    for part, (index, box) in enumerate(found, start=1):
        left, top, width, height, area = box.tolist()
        rings = [*outlines[part - 1], *holes[part - 1]]
        pixels = inner[top : top + height, left : left + width] == part if len(rings) > 1 else None
        regions.append(Region(index, area, (left, top, width, height), rings, pixels))
    return regions


def _trace_rings(parts: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Number of the part, twice the signed area and corners of each ring of numbered parts, which have 0 around them.

    At a corner where two pixels of a part touch, rings turn left. A part is connected by sides, so one of the two
    gaps between these pixels is closed by the part itself: turning left makes it a hole with a ring of its own.
    """
    ways = _sides(parts)
    first = np.cumsum([0, *(len(owners) for _, _, owners in ways)])
    following = []
    for way, (_, ends, owners) in enumerate(ways):
        right, left = ((way + turn) % 4 for turn in (1, 3))
        after_right = _find_side(ways[right], ends, owners)
        after_left = _find_side(ways[left], ends, owners)
        following.append(np.where(after_left >= 0, after_left + first[left], after_right + first[right]))
    order, bounds = _cycles(np.concatenate(following).tolist())
    if not bounds:
        return
    starts, ends, owners = (np.concatenate(kind)[order] for kind in zip(*ways, strict=True))
    y, x = np.divmod(starts, parts.shape[1])
    end_y, end_x = np.divmod(ends, parts.shape[1])
    twice_areas = np.add.reduceat(x * end_y - end_x * y, bounds).tolist()
    rings = np.split(np.stack([x, y], axis=1), bounds[1:])
    yield from zip(owners[bounds].tolist(), twice_areas, rings, strict=True)


Sides = tuple[np.ndarray, np.ndarray, np.ndarray]  # corner where each starts, corner where it ends, part to its right


def _sides(parts: np.ndarray) -> list[Sides]:
    """The straight sides of the outlines, those that run right, down, left and up, each kind ordered by its starts.
    Corners are numbered y * parts.shape[1] + x."""
    stride = parts.shape[1]
    above, below = parts[:-1, 1:-1], parts[1:, 1:-1]
    before, behind = parts.T[:-1, 1:-1], parts.T[1:, 1:-1]
    ways = []
    for owner, other, across, along in ((below, above, stride, 1), (before, behind, 1, stride)):
        for of, against, forward in ((owner, other, True), (other, owner, False)):
            line, begin, end, owners = _runs(np.where(of != against, of, 0))
            starts, ends = line * across + begin * along, line * across + end * along
            starts, ends = (starts, ends) if forward else (ends, starts)
            order = np.argsort(starts)
            ways.append((starts[order], ends[order], owners[order]))
    right, left, down, up = ways
    return [right, down, left, up]


def _runs(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Line, begin, end (one past the last) and value of each run of one value other than 0 in an array's lines."""
    begins, ends = lines != 0, lines != 0
    differs = lines[:, 1:] != lines[:, :-1]
    begins[:, 1:] &= differs
    ends[:, :-1] &= differs
    line, begin = np.nonzero(begins)
    return line, begin, np.nonzero(ends)[1] + 1, lines[line, begin]


def _find_side(sides: Sides, corners: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Indices of the sides that start at these corners and bound these parts, -1 where there is none."""
    if not len(sides[0]):
        return np.full(len(corners), -1)
    starts_at = np.searchsorted(sides[0], corners).clip(max=len(sides[0]) - 1)
    return np.where((sides[0][starts_at] == corners) & (sides[2][starts_at] == owners), starts_at, -1)


def _cycles(following: list[int]) -> tuple[list[int], list[int]]:
    """A permutation's cycles one behind the other, and where each begins."""
    seen = bytearray(len(following))
    order: list[int] = []
    bounds: list[int] = []
    for first in range(len(following)):
        if seen[first]:
            continue
        bounds.append(len(order))
        side = first
        while not seen[side]:
            seen[side] = 1
            order.append(side)
            side = following[side]
    return order, bounds


def cut_holes(region: Region) -> list[np.ndarray]:
    """Rings (N, 2) that together cover a region without overlap, for formats that know no holes: the region is cut
    down the first column of each hole, which opens the hole to that side."""
    outline, *holes = region.rings
    if not holes:
        return [outline]
    corner = np.array(region.box[:2])
    cuts = np.unique([hole[:, 0].min() - corner[0] for hole in holes])
    strips = 1 + np.searchsorted(cuts, np.arange(region.box[2]), side="right") % 2  # neighbours differ, that is enough
    pieces = trace_regions(region.pixels * strips, {1, 2})
    return [piece.rings[0] + corner for piece in pieces]


def build_geojson(labels: np.ndarray, task: Task) -> dict[str, Any]:
    """A FeatureCollection (RFC 7946) with a Polygon for each region of a prediction, HW class indices or in multilabel
    CHW layers of 0 and 1; its properties are `class`, `index` and `area_px`. Coordinates are pixels, not degrees."""
    names = classes_drawn(task)
    features = []
    for region in find_regions(labels, task):
        rings = [ring.tolist() for ring in region.rings]
        features.append(
            {
                "type": "Feature",
                "properties": {"class": names[region.index], "index": region.index, "area_px": region.area_px},
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
            }
        )
    return {"type": "FeatureCollection", "features": features}
