"""GeoTIFFs of painted classes, and readers of their predictions."""

from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
import tifffile
from rasterio.features import rasterize

X, Y, PX_M = 456828.3563822131, 6717452.690058491, 0.35
KEYS = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 31982, 3076, 0, 1, 9001)  # SIRGAS 2000 / UTM 22S, meters
GRID = {33550: (PX_M, PX_M, 0.0), 33922: (0.0, 0.0, 0.0, X, Y, 0.0), 34735: KEYS}
MATRIX = (0.3, 0.1, 0.0, X, 0.1, -0.3, 0.0, Y, *(0.0,) * 7, 1.0)  # rotated, with pixels of 0.1 square meters
TURNED = {34264: MATRIX, 34735: KEYS}
TYPES = {33550: "d", 33922: "d", 34264: "d", 34735: "H", 50844: "d", 42113: "s"}


def save(path: Path, red: np.ndarray, tags: dict[int, tuple] = GRID, *others: np.ndarray, **options) -> Path:
    """A TIFF with this red band, HW, and zeros or `others` as the other bands."""
    planes = [red, *others, *([np.zeros_like(red)] * (2 - len(others)))]
    extra = [(code, TYPES[code], 0 if TYPES[code] == "s" else len(value), value, True) for code, value in tags.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.stack(planes, -1).astype(np.uint8), photometric="rgb", extratags=extra, **options)
    return path


def read_vectors(path: Path) -> tuple[str | None, list[shapely.Polygon], dict[str, list]]:
    """The coordinate system, the polygons and the columns of a file, as GDAL reads them."""
    meta, _, geometry, fields = pyogrio.raw.read(path, layer="prediction" if path.suffix == ".gpkg" else None)
    columns = dict(zip(meta["fields"], (field.tolist() for field in fields), strict=True))
    return meta["crs"], list(shapely.from_wkb(geometry)), columns


def burn(path: Path, like: Path) -> np.ndarray:
    """The class indices of a vector file on the grid of a raster; 254 outside all polygons."""
    _, polygons, columns = read_vectors(path)
    with rasterio.open(like) as raster:
        shape, grid = raster.shape, grid_of(raster)
    to_pixels = np.linalg.inv(np.vstack([grid, [0, 0, 1]]))
    flat = shapely.transform(polygons, lambda points: points @ to_pixels[:2, :2].T + to_pixels[:2, 2])
    shapes = list(zip(flat, columns["index"], strict=True))
    return rasterize(shapes, out_shape=shape, fill=254, dtype="uint8") if shapes else np.full(shape, 254)


def grid_of(raster: rasterio.DatasetReader) -> np.ndarray:
    """(2, 3) float64: maps (x, y, 1) in pixels to coordinates."""
    return np.array(raster.transform[:6]).reshape(2, 3)
