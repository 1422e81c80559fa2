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
    rings_of: list[list[np.ndarray]] = [[] for _ in found]
    for part, twice_area, ring in _trace_rings(parts):
        rings_of[part - 1].insert(0 if twice_area > 0 else len(rings_of[part - 1]), ring)  # the outline goes first
    regions = []
    for part, ((index, box), rings) in enumerate(zip(found, rings_of, strict=True), start=1):
        left, top, width, height, area = box.tolist()
        pixels = inner[top : top + height, left : left + width] == part if len(rings) > 1 else None
        regions.append(Region(index, area, (left, top, width, height), rings, pixels))
    return regions


def _trace_rings(parts: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Number of the part, twice the signed area and corners of each ring of numbered parts, which have 0 around them.

    A ring is made of straight sides, each with its part to the right. At a corner where two pixels of a part touch,
    rings turn left. A part is connected by sides, so one of the two gaps between these pixels is closed by the part
    itself: turning left makes it a hole with a ring of its own.
    """
    height, width = parts.shape[0] - 1, parts.shape[1] - 1
    corners = np.arange(height * width).reshape(height, width)
    sides = []
    for way in range(4):  # right, down, left and up: the picture is turned so that they run right, above their part
        turned, numbers = np.rot90(parts, way), np.rot90(corners, way)
        owners = np.where(turned[1:] != turned[:-1], turned[1:], 0)
        line, column = np.nonzero(owners[:, 1:] != owners[:, :-1])
        part = owners[line, column + 1]
        begins, met = np.flatnonzero(part), numbers[line, column]
        sides.append((met[begins] + way * corners.size, met[begins + 1], part[begins]))
    starts, ends, owners = (np.concatenate(kind) for kind in zip(*sides, strict=True))
    order = np.argsort(starts)
    starts, ends, owners = starts[order], ends[order], owners[order]

    def after_turning(turn: int) -> np.ndarray:
        wanted = ends + (starts // corners.size + turn) % 4 * corners.size
        found = np.searchsorted(starts, wanted).clip(max=len(starts) - 1)
        return np.where((starts[found] == wanted) & (owners[found] == owners), found, -1)

    left, right = after_turning(3), after_turning(1)
    order, bounds = _find_cycles(np.where(left >= 0, left, right).tolist())
    if not bounds:
        return
    y, x = np.divmod(starts[order] % corners.size, width)
    end_y, end_x = np.divmod(ends[order], width)
    twice_areas = np.add.reduceat(x * end_y - end_x * y, bounds).tolist()
    rings = np.split(np.stack([x, y], axis=1), bounds[1:])
    yield from zip(owners[order][bounds].tolist(), twice_areas, rings, strict=True)


def _find_cycles(following: list[int]) -> tuple[list[int], list[int]]:
    """The cycles of a permutation one behind the other, and where each begins; what is taken becomes -1."""
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
