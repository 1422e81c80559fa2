"""GeoTIFF: class indices in blocks, with the class colors and the georeference of the image."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from segtrain.images.bands import GDAL_NODATA
from segtrain.inference.task import Task

BLOCK_PX = 256  # side of the blocks in which the pixels are stored
BIG_TIFF_BYTES = 2**31
GDAL_METADATA = 42112
NO_LAYER = 127  # in layers of 0 and 255: no data


def no_class(task: Task) -> int:
    """The value of pixels without data, in class indices or layers. No class has this value."""
    if task.mode == "multilabel":
        return NO_LAYER
    return 255 if len(task.names) < 256 else 65535


def index_dtype(task: Task, *, with_nodata: bool) -> np.dtype:
    """The dtype of the pixels that write_geotiff writes."""
    classes = 1 if task.mode == "multilabel" else len(task.names) + with_nodata
    return np.dtype(np.uint8 if classes <= 256 else np.uint16)


def write_geotiff(
    target: Path | BinaryIO,
    strips: Iterable[np.ndarray],
    size: tuple[int, int],
    task: Task,
    *,
    tags: Sequence[tuple[int, int | str, int, Any, bool]],
    with_nodata: bool,
) -> None:
    """Write class indices in 8 bits with the class colors as a palette, or in 16 bits if there are too many classes. In
    multilabel, write a band of 0 and 255 for each class, with the name of the class as its description.

    Args:
        target: a path, or a file opened for writing.
        strips: class indices (rows, W), or layers (classes, rows, W) of 0 and 1, from top to bottom; no_class where
            there is no data.
        size: height and width of the whole image in pixels.
        task: the task with the classes.
        tags: the tags of a Georeference.
        with_nodata: declare the value of no_class as no data.
    """
    layered, dtype = task.mode == "multilabel", index_dtype(task, with_nodata=with_nodata)
    shape = (*size, *([len(task.names)] if layered else []))
    options: dict[str, Any] = {"photometric": "minisblack"}
    extra = list(tags)
    if layered:
        item = '<Item name="DESCRIPTION" sample="{}" role="description">{}</Item>'.format
        items = "".join(item(index, escape(name)) for index, name in enumerate(task.names))
        extra.append((GDAL_METADATA, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>".encode(), True))
    elif dtype == np.uint8:
        palette = np.zeros((3, 256), np.uint16)  # colors in a TIFF are 0..65535
        palette[:, : len(task.colors)] = np.array(task.colors, np.uint16).T * 257
        options = {"photometric": "palette", "colormap": palette}
    if with_nodata:
        extra.append((GDAL_NODATA, "s", 0, str(no_class(task)), True))
    tifffile.imwrite(
        target,
        _blocks(strips, size, dtype, layered=layered),
        shape=shape,
        dtype=dtype,
        tile=(BLOCK_PX, BLOCK_PX),
        compression="zlib",
        predictor=False,
        planarconfig="contig" if layered else None,
        bigtiff=math.prod(shape) * dtype.itemsize > BIG_TIFF_BYTES,
        extratags=extra,
        metadata=None,
        maxworkers=1,  # with more, tifffile would request all blocks at once and keep them in memory
        **options,
    )


def _blocks(
    strips: Iterable[np.ndarray], size: tuple[int, int], dtype: np.dtype, *, layered: bool
) -> Iterator[np.ndarray]:
    """The pixels in blocks of BLOCK_PX x BLOCK_PX, row by row; those at the right and lower border are smaller."""
    height, width = size
    rest: list[np.ndarray] = []
    done = 0
    for strip in strips:
        if layered:
            strip = np.moveaxis(np.where(strip == 1, 255, strip), 0, -1)
        done += len(strip)
        band = np.concatenate([*rest, strip.astype(dtype, copy=False)])
        whole = len(band) if done == height else len(band) - len(band) % BLOCK_PX
        for top in range(0, whole, BLOCK_PX):
            for left in range(0, width, BLOCK_PX):
                yield band[top : top + BLOCK_PX, left : left + BLOCK_PX]
        rest = [band[whole:]]
