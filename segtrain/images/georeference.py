"""Georeference: where on the earth the pixels of a file lie, from the tags of a GeoTIFF or a world file beside it.

OGC GeoTIFF Standard 1.1 (19-008r4), annex B: ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory.
RPCCoefficientTag: http://geotiff.maptools.org/rpc_prop.html.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from segtrain.errors import DataError
from segtrain.images.bands import is_tiff
from segtrain.images.reading import read_orientation

PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_KEYS, RPC = 33550, 33922, 34264, 34735, 50844
KEY_TAGS = (GEO_KEYS, 34736, 34737)  # and the numbers and texts that the keys point to
MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC, PROJECTED, LINEAR_UNITS = 1024, 1025, 2048, 3072, 3076  # of the keys
METRES = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}  # EPSG's codes of the meter, the foot, the US survey foot
USER_DEFINED = 32767
TOLERANCE_PX = 0.5
IN_PIXELS = np.eye(2, 3)  # GDAL's matrix of a raster that lies nowhere; programs write it into copies of such rasters


class Place(NamedTuple):
    """`matrix` float64 (2, 3) makes (x, y, 1) in pixels, counted from the outer corner of the first, coordinates of the
    system `epsg`; 0 where the file does not name it. `unit_m` is their unit in meters, 0 where it is not a length or
    not known."""

    matrix: NDArray[np.float64]
    epsg: int = 0
    unit_m: float = 0.0


class Georeference(NamedTuple):
    """What a file says of its place. `tags` say the same in a TIFF, as tifffile writes them; none where they cannot be
    used. `place` is None where they give no matrix; `fault` says why, in a few words."""

    tags: list[tuple[int, int | str, int, Any, bool]]
    place: Place | None
    fault: str = ""


def find_apart(image: str, masks: Sequence[str], *, height: int, width: int) -> str:
    """How the first of these mask files that does lies elsewhere on the earth than its image of the same size; empty
    where none does."""
    place = read_place(image) if masks else None
    places = [(file, read_place(file)) for file in masks] if place is not None else []
    found = ((file, compare_places(place, own, height=height, width=width)) for file, own in places if own is not None)
    return next((f"{file}: {text}" for file, text in found if text), "")


def read_place(path: str) -> Place | None:
    """The place of a file; None where nothing says it, or not by a matrix, and where the file is stored turned."""
    found = read_georeference(path)
    return found and found.place


def read_georeference(path: str) -> Georeference | None:
    """The georeference of a file: of its tags, or of a world file where they have no matrix; None where neither says
    anything, and for what is not a TIFF that can be read."""
    with suppress(Exception):  # whatever odd tags and files that are called so by chance lead to
        tags = _read_tags(path) if is_tiff(path) else {}
        values = {code: tag[3] for code, tag in tags.items()}
        keys = _keys_of(values.get(GEO_KEYS, ()))
        try:
            matrix = _matrix_of(values, keys)
            if np.array_equal(matrix, IN_PIXELS) and keys.keys().isdisjoint((GEOGRAPHIC, PROJECTED)):
                matrix, tags = None, {}
            if matrix is None and (world := _read_world_file(path)) is not None:
                matrix = world
                tags = {code: tag for code, tag in tags.items() if code in KEY_TAGS} | _grid_tags(world, keys)
            if matrix is not None:
                _require_upright(path, matrix)
        except DataError as error:
            return Georeference([], None, str(error))
        if matrix is not None:
            return Georeference(list(tags.values()), Place(matrix, *_system_of(keys)))
        if TIEPOINT in tags:
            number = len(values[TIEPOINT]) // 6
            return Georeference(list(tags.values()), None, f"it has {number} tie points")
        if RPC in tags:
            return Georeference(list(tags.values()), None, "it has the RPC coefficients of a camera")
    return None


def _read_tags(path: str) -> dict[int, tuple]:
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        found = (tags.get(code) for code in (PIXEL_SCALE, TIEPOINT, TRANSFORMATION, *KEY_TAGS, RPC))
        return {tag.code: (tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found if tag is not None}


def _keys_of(directory: Sequence[int]) -> dict[int, int]:
    entries = zip(directory[4::4], directory[5::4], directory[7::4], strict=False)
    return {key: value for key, location, value in entries if location == 0}


def _system_of(keys: dict[int, int]) -> tuple[int, float]:
    """EPSG's code, or 0, and the unit in meters, or 0."""
    projected = keys.get(MODEL_TYPE, 1 if PROJECTED in keys else 2) == 1
    epsg = keys.get(PROJECTED if projected else GEOGRAPHIC, 0)
    return 0 if epsg == USER_DEFINED else epsg, METRES.get(keys.get(LINEAR_UNITS), 0.0) if projected else 0.0


def _matrix_of(values: dict[int, Any], keys: dict[int, int]) -> NDArray[np.float64] | None:
    """That of the tags; None where they have none. Raises DataError where they are broken."""
    scale, points, whole = (values.get(code) for code in (PIXEL_SCALE, TIEPOINT, TRANSFORMATION))
    for name, numbers, fits in (
        ("ModelTransformation", whole, whole is None or np.size(whole) == 16),
        ("ModelPixelScale", scale, scale is None or np.size(scale) in (2, 3)),
        ("ModelTiepoint", points, points is None or (np.size(points) >= 6 and np.size(points) % 6 == 0)),
    ):
        if not fits:
            raise DataError(f"the tag {name} has {np.size(numbers)} numbers")
    if whole is not None:
        matrix = np.array(whole, np.float64).reshape(4, 4)[:2, [0, 1, 3]]
    elif scale is not None and points is not None:
        column, row, _, x, y = np.array(points, np.float64)[:5]
        with np.errstate(all="ignore"):
            matrix = np.array([[scale[0], 0, x - column * scale[0]], [0, -scale[1], y + row * scale[1]]])
    elif scale is not None or np.size(points) == 6:
        raise DataError("one of the tags ModelPixelScale and ModelTiepoint is missing")
    else:
        return None
    if keys.get(RASTER_TYPE) == 2:  # points: the coordinates are those of the middle of a pixel
        matrix[:, 2] -= matrix[:, :2].sum(axis=1) / 2
    return matrix


def _read_world_file(path: str) -> NDArray[np.float64] | None:
    """Six lines, of which the last two are the middle of the first pixel. Raises DataError where they are others."""
    stem, dot = os.path.splitext(path)
    dot = dot.lower()
    endings = [f"{dot[1:2]}{dot[-1:]}w", f"{dot[1:]}w", "wld"]  # a.tfw, a.tifw, a.wld
    names = (f"{stem}.{name}" for ending in endings for name in (ending, ending.upper()))
    file = next(filter(os.path.isfile, names), None)
    if file is None:
        return None
    try:
        with open(file, encoding="utf-8") as lines:
            a, d, b, e, c, f = (float(line) for line in lines.read(4096).split()[:6])
    except (OSError, ValueError) as error:
        raise DataError(f"{os.path.basename(file)} does not contain six numbers") from error
    return np.array([[a, b, c - (a + b) / 2], [d, e, f - (d + e) / 2]])


def _require_upright(path: str, matrix: NDArray[np.float64]) -> None:
    """Raises DataError for a matrix that is not a grid, and where the pixels are stored turned: GDAL and other
    programs do not turn them, segtrain does."""
    with np.errstate(all="ignore"):
        area = np.linalg.det(matrix[:, :2])
    if not np.isfinite([*matrix.flat, area]).all() or not area:
        raise DataError("its pixels have no size, or numbers are not finite")
    orientation = 1
    with suppress(DataError):  # a file that cannot be read is reported when it is
        orientation = read_orientation(path)
    if orientation != 1:
        raise DataError("the image is stored rotated")


def _grid_tags(matrix: NDArray[np.float64], keys: dict[int, int]) -> dict[int, tuple]:
    """A matrix as tags."""
    (a, b, c), (d, e, f) = matrix.tolist()
    if keys.get(RASTER_TYPE) == 2:
        c, f = c + (a + b) / 2, f + (d + e) / 2
    if not b and not d and a > 0 > e:
        grid = {PIXEL_SCALE: (a, -e, 0.0), TIEPOINT: (0.0, 0.0, 0.0, c, f, 0.0)}
    else:
        grid = {TRANSFORMATION: (a, b, 0.0, c, d, e, 0.0, f, *(0.0,) * 7, 1.0)}
    return {code: (code, "d", len(numbers), numbers, True) for code, numbers in grid.items()}


def compare_places(image: Place, mask: Place, *, height: int, width: int) -> str:
    """How a mask lies elsewhere than its image of the same size in pixels, as the end of a sentence; empty where both
    lie in one place, to half a pixel of the image."""
    if image.epsg and mask.epsg and image.epsg != mask.epsg:
        return f"is in EPSG:{mask.epsg}, but its image is in EPSG:{image.epsg}"
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    there = np.linalg.solve(image.matrix[:, :2], mask.matrix @ corners - image.matrix[:, 2:])
    shifts = there - corners[:2]
    if np.abs(shifts).max() <= TOLERANCE_PX + 1e-3:
        return ""
    sides = [np.hypot(*place.matrix[:, :2]) for place in (mask, image)]
    if not np.allclose(*sides, rtol=TOLERANCE_PX / max(height, width), atol=0):
        (x, y), (image_x, image_y) = sides
        return f"has pixels of {x:.6g} x {y:.6g}, but its image {image_x:.6g} x {image_y:.6g}"
    first, *others = shifts.T
    if max(np.abs(other - first).max() for other in others) > TOLERANCE_PX:
        return "is rotated or mirrored relative to its image"
    return f"is {np.hypot(*first):,.1f} pixels away from its image"
