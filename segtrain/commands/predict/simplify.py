"""Simplified outlines, in which adjacent regions still share their borders.

Borders are cut at the corners where three or more regions meet. Each piece is simplified once, for the regions on both
sides, by Douglas and Peucker (1973): corners are removed as long as all of them are within the tolerance of the new
line.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

EASIER = (1.0, 0.5, 0.25, 0.0)  # shares of the tolerance, tried in this order until the regions of a border are valid


class Rings(NamedTuple):
    """Rings of numbered owners, one after another.

    `points` (N, 2) int64 are x and y; `bounds` (rings,) is where each ring begins; `owners` (rings,) int64 are their
    owners; `stops` (N,) bool marks points that simplification must keep.
    """

    points: np.ndarray
    bounds: np.ndarray
    owners: np.ndarray
    stops: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The number of points of each ring."""
        return np.diff(np.append(self.bounds, len(self.points)))

    def twice_areas(self) -> np.ndarray:
        """Twice the area of each ring, int64: positive for an outline, negative for a hole."""
        if not len(self.bounds):
            return np.zeros(0, np.int64)
        after = np.arange(1, len(self.points) + 1)
        after[self.bounds + self.lengths - 1] = self.bounds
        (x, y), (next_x, next_y) = self.points.T, self.points[after].T
        return np.add.reduceat(x * next_y - next_x * y, self.bounds)

    def by_owner(self) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The owners in order, each with its rings, of which the outline is first."""
        order = np.lexsort((np.arange(len(self.owners)), self.twice_areas() < 0, self.owners))
        owners, lengths = self.owners[order], self.lengths[order]
        firsts = self.bounds[order]
        changes = [*np.flatnonzero(np.diff(owners, prepend=-1)).tolist(), len(owners)]
        for first, end in pairwise(changes):
            rings = zip(firsts[first:end].tolist(), lengths[first:end].tolist(), strict=True)
            yield int(owners[first]), [self.points[begin : begin + length] for begin, length in rings]


def simplify_rings(rings: Rings, tolerance: float) -> Rings:
    """Rings with fewer points, all from `rings`, that together cover the same area without gaps and overlaps.

    Every point of an old border is within `tolerance` pixels of the new border and vice versa, and each region is a
    valid polygon that contains its holes. The owners must cover a rectangle. Then they do not overlap if each of them
    is valid, because the winding numbers of all rings add up to 1 everywhere, as before. Borders of regions that are
    not valid are tried with a smaller tolerance, and finally kept as they were.
    """
    import shapely

    arcs = _Arcs(rings)
    levels = np.zeros(len(arcs.exact), np.int64)
    lines = shapely.simplify(arcs.exact, tolerance, preserve_topology=False)
    unsure = np.ones(len(rings.bounds), bool)
    while (wrong := arcs.find_wrong(lines, unsure, levels < len(EASIER) - 1)).any():
        levels[wrong] += 1
        tolerances = tolerance * np.array(EASIER)[levels[wrong]]
        lines[wrong] = shapely.simplify(arcs.exact[wrong], tolerances, preserve_topology=False)
        unsure = np.isin(rings.owners, rings.owners[arcs.ring_of[wrong[arcs.line_of]]])
    return arcs.join(lines, np.ones(len(rings.bounds), bool))


class _Arcs:
    """The pieces of rings between two stops. `exact` (lines,) are shapely LineStrings. `line_of` is the line of each
    piece, in the order of the rings, and `ring_of` its ring; two pieces that are the same border have the same line."""

    def __init__(self, rings: Rings):
        import shapely

        self._rings = rings
        self._outer = rings.twice_areas() > 0
        flat, lengths, self.ring_of = _cut_rings(rings)
        ends = np.cumsum(lengths)
        points = rings.points[flat]
        numbers = points[:, 1] * (points.max() + 1) + points[:, 0]
        forth = numbers[[ends - lengths, ends - lengths + 1]]  # no two lines begin with the same two points
        back = numbers[[ends - 1, ends - 2]]
        self._backwards = (back[0] < forth[0]) | ((back[0] == forth[0]) & (back[1] < forth[1]))
        pairs = np.where(self._backwards, back, forth)
        _, firsts, line_of = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
        self.line_of = line_of.ravel()
        lines = shapely.linestrings(points.astype(np.float64), indices=np.repeat(np.arange(len(lengths)), lengths))
        self.exact = np.where(self._backwards[firsts], shapely.reverse(lines[firsts]), lines[firsts])

    def join(self, lines: np.ndarray, wanted: np.ndarray) -> Rings:
        """The wanted rings, bool (rings,), put together from these lines."""
        import shapely

        points, line_of_point = shapely.get_coordinates(lines, return_index=True)
        counts = np.bincount(line_of_point, minlength=len(lines))
        firsts = np.cumsum(counts) - counts
        pieces = np.flatnonzero(wanted[self.ring_of])
        line, backwards = self.line_of[pieces], self._backwards[pieces]
        lengths = counts[line] - 1  # the last point is the first of the next piece
        ends = np.cumsum(lengths)
        place = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        begin = np.where(backwards, firsts[line] + lengths, firsts[line])
        taken = np.repeat(begin, lengths) + place * np.repeat(np.where(backwards, -1, 1), lengths)
        per_ring = np.bincount(self.ring_of[pieces], weights=lengths, minlength=len(wanted))[wanted].astype(np.int64)
        bounds = np.cumsum(per_ring) - per_ring
        return Rings(points[taken].astype(np.int64), bounds, self._rings.owners[wanted], np.ones(len(taken), bool))

    def find_wrong(self, lines: np.ndarray, wanted: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Which of the `free` lines, bool (lines,), make a wanted ring flat or reverse it, or intersect other lines of
        an owner whose polygon is not valid. If it is not valid for another reason, all of its lines are wrong."""
        import shapely

        rings = self.join(lines, wanted)
        outer, wrong = self._outer[wanted], np.zeros(len(lines), bool)
        flat = np.zeros(len(wanted), bool)
        flat[wanted] = (rings.lengths < 3) | ((rings.twice_areas() > 0) != outer)
        wrong[self.line_of[flat[self.ring_of]]] = True
        good = np.flatnonzero(~np.isin(rings.owners, self._rings.owners[flat]))
        good = good[np.lexsort((~outer[good], rings.owners[good]))]
        lengths = rings.lengths[good]
        place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        points = rings.points[np.repeat(rings.bounds[good], lengths) + place].astype(np.float64)
        closed = shapely.linearrings(points, indices=np.repeat(np.arange(len(good)), lengths))
        owners, polygon_of = np.unique(rings.owners[good], return_inverse=True)
        invalid = owners[~shapely.is_valid(shapely.polygons(closed, indices=polygon_of))]
        pieces = np.isin(self._rings.owners, invalid)[self.ring_of]
        suspects = np.unique(self.line_of[pieces])
        wrong[suspects[_meet_between_ends(lines[suspects])]] = True
        wrong &= free
        found = self._rings.owners[self.ring_of[wrong[self.line_of]]]
        unexplained = np.isin(self._rings.owners, np.setdiff1d(invalid, found))[self.ring_of]
        wrong[self.line_of[unexplained]] = True
        return wrong & free


def _meet_between_ends(lines: np.ndarray) -> np.ndarray:
    """The indices of LineStrings that intersect themselves, or another one elsewhere than at common ends."""
    import shapely

    first, second = shapely.STRtree(lines).query(lines, predicate="intersects")
    first, second = first[first < second], second[first < second]
    ends = shapely.get_coordinates([shapely.get_point(lines, place) for place in (0, -1)]).reshape(2, len(lines), 2)
    shared = sum((ends[a, first] == ends[b, second]).all(axis=1).astype(int) for a in (0, 1) for b in (0, 1))
    met = shapely.intersection(lines[first], lines[second])
    points_alone = np.isin(shapely.get_type_id(met), [shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT])
    crossing = ~points_alone | (shapely.get_num_coordinates(met) > shared)
    return np.unique(np.concatenate([first[crossing], second[crossing], np.flatnonzero(~shapely.is_simple(lines))]))


def _cut_rings(rings: Rings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The indices of the points of all pieces, one piece after another, including its last point; the pieces' lengths
    and rings.

    A ring without a stop is cut at its first point in reading order and at the point farthest from it, so that the
    regions on both sides cut it at the same points. A ring with one stop is cut there and at the point farthest from
    it.
    """
    count, lengths = len(rings.points), rings.lengths
    ring_of_point = np.repeat(np.arange(len(lengths)), lengths)
    numbers = rings.points[:, 1] * (rings.points.max() + 1) + rings.points[:, 0]
    stops = rings.stops.copy()
    lonely = ~np.logical_or.reduceat(stops, rings.bounds)
    stops |= lonely[ring_of_point] & (numbers == np.minimum.reduceat(numbers, rings.bounds)[ring_of_point])
    single = np.add.reduceat(stops.astype(np.int64), rings.bounds) == 1
    anchors = np.zeros(len(lengths), np.int64)
    anchors[ring_of_point[stops]] = np.flatnonzero(stops)
    away = ((rings.points - rings.points[anchors[ring_of_point]]) ** 2).sum(axis=1)
    farthest = away == np.maximum.reduceat(away, rings.bounds)[ring_of_point]
    last = np.maximum.reduceat(np.where(farthest, numbers, -1), rings.bounds)[ring_of_point]
    stops |= single[ring_of_point] & (numbers == last)
    firsts = np.minimum.reduceat(np.where(stops, np.arange(count), count), rings.bounds)
    bounds = rings.bounds[ring_of_point]
    turned = bounds + (np.arange(count) - bounds + (firsts - rings.bounds)[ring_of_point]) % lengths[ring_of_point]
    begins = np.flatnonzero(stops[turned])
    ends = np.append(begins[1:], count)
    rings_of = ring_of_point[begins]
    is_last = np.append(rings_of[1:] != rings_of[:-1], True)
    closing = np.where(is_last, firsts[rings_of], turned[np.append(begins[1:], 0)])
    return np.insert(turned, ends, closing), ends - begins + 1, rings_of


def cut_polygon(rings: list[np.ndarray]) -> list[np.ndarray]:
    """Rings (N, 2) float64 that together cover a polygon with holes, whose outline is the first ring. The polygon is
    cut along the middle of each hole."""
    import shapely

    outline, *holes = rings
    polygon = shapely.Polygon(outline, holes)
    left, top, right, bottom = polygon.bounds
    cuts = np.unique([left, right, *((hole[:, 0].min() + hole[:, 0].max()) / 2 for hole in holes)])
    strips = shapely.box(cuts[:-1], top, cuts[1:], bottom)
    pieces = shapely.get_parts(shapely.intersection(polygon, strips))
    solid = pieces[shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON]
    return [np.array(piece.exterior.coords)[:-1] for piece in shapely.orient_polygons(solid)]
