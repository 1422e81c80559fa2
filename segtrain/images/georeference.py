"""Georeference: where on the earth the pixels of a file lie, from the tags of a GeoTIFF or a world file beside it.

OGC GeoTIFF Standard 1.1 (19-008r4), annex B: ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from segtrain.images.bands import ORIENTATION, is_tiff

PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735
RASTER_TYPE, GEOGRAPHIC, PROJECTED = 1025, 2048, 3072  # of the keys
USER_DEFINED = 32767
TOLERANCE_PX = 0.5


class Place(NamedTuple):
    """`matrix` float64 (2, 3) makes (x, y, 1) in pixels, counted from the outer corner of the first, coordinates of the
    system `epsg`; 0 where the file does not name it."""

    matrix: NDArray[np.float64]
    epsg: int = 0


def find_apart(image: str, masks: Sequence[str], *, height: int, width: int) -> str:
    """How the first of these mask files that does lies elsewhere on the earth than its image of the same size; empty
    where none does."""
    place = read_place(image) if masks else None
    places = [(file, read_place(file)) for file in masks] if place is not None else []
    found = ((file, compare_places(place, own, height=height, width=width)) for file, own in places if own is not None)
    return next((f"{file}: {text}" for file, text in found if text), "")


def read_place(path: str) -> Place | None:
    """The place of a file; None where nothing says it, or not by a matrix, and where the file is stored turned."""
    with suppress(Exception):  # whatever odd tags and files that are called so by chance lead to
        place = (_read_tags(path) if is_tiff(path) else None) or _read_world_file(path)
        if place is not None and np.isfinite(place.matrix).all() and np.linalg.det(place.matrix[:, :2]):
            return place
    return None


def _read_tags(path: str) -> Place | None:
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        scale, point, whole, keys, orientation = (
            tags.valueof(code) for code in (PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_KEYS, ORIENTATION)
        )
    if orientation not in (None, 1):
        return None
    if whole is not None:
        matrix = np.array(whole, np.float64).reshape(4, 4)[:2, [0, 1, 3]]
    elif scale is not None and point is not None:
        column, row, _, x, y = np.array(point, np.float64)[:5]
        matrix = np.array([[scale[0], 0, x - column * scale[0]], [0, -scale[1], y + row * scale[1]]])
    else:
        return None
    found = dict(zip(keys[4::4], zip(keys[5::4], keys[7::4], strict=False), strict=False)) if keys else {}
    values = {key: value for key, (location, value) in found.items() if location == 0}
    if values.get(RASTER_TYPE) == 2:  # points: the coordinates are those of the middle of a pixel
        matrix[:, 2] -= matrix[:, :2].sum(axis=1) / 2
    epsg = values.get(PROJECTED, values.get(GEOGRAPHIC, 0))
    return Place(matrix, 0 if epsg == USER_DEFINED else epsg)


def _read_world_file(path: str) -> Place | None:
    """Six lines, of which the last two are the middle of the first pixel."""
    stem, dot = os.path.splitext(path)
    dot = dot.lower()
    endings = [f"{dot[1:2]}{dot[-1:]}w", f"{dot[1:]}w", "wld"]  # a.tfw, a.tifw, a.wld
    names = (f"{stem}.{name}" for ending in endings for name in (ending, ending.upper()))
    file = next(filter(os.path.isfile, names), None)
    if file is None:
        return None
    with open(file, encoding="utf-8") as lines:
        a, d, b, e, c, f = (float(line) for line in lines.read().split()[:6])
    return Place(np.array([[a, b, c - (a + b) / 2], [d, e, f - (d + e) / 2]]))


def compare_places(image: Place, mask: Place, *, height: int, width: int) -> str:
    """How a mask lies elsewhere than its image of the same size in pixels, as the end of a sentence; empty where both
    lie in one place, to half a pixel of the image."""
    if image.epsg and mask.epsg and image.epsg != mask.epsg:
        return f"is in EPSG:{mask.epsg}, its image in EPSG:{image.epsg}"
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    there = np.linalg.solve(image.matrix[:, :2], mask.matrix @ corners - image.matrix[:, 2:])
    shifts = there - corners[:2]
    if np.abs(shifts).max() <= TOLERANCE_PX + 1e-3:
        return ""
    sides = [np.hypot(*place.matrix[:, :2]) for place in (mask, image)]
    if not np.allclose(*sides, rtol=TOLERANCE_PX / max(height, width), atol=0):
        (x, y), (image_x, image_y) = sides
        return f"has pixels of {x:.6g} x {y:.6g}, its image {image_x:.6g} x {image_y:.6g}"
    first, *others = shifts.T
    if max(np.abs(other - first).max() for other in others) > TOLERANCE_PX:
        return "is turned or mirrored against its image"
    return f"lies {np.hypot(*first):,.1f} pixels away from its image"
