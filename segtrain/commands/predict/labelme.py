"""labelme: outlines of each image as its JSON file, Kentaro Wada, https://github.com/wkentaro/labelme.

Polygons, which annotators can correct; labelme's masks can only be moved and deleted.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.commands.predict.polygons import Region, classes_drawn, cut_holes, find_regions
from segtrain.inference.prediction import PredictedImage

VERSION = "5.5.0"  # of labelme, the oldest that knows all that is written here

# labelme fills polygons with Pillow, which takes the whole part of a number as a pixel and fills the outline too, where
# pycocotools, and so segtrain, fills what lies inside of it. Right and lower sides that are moved in by less than a
# tenth of a pixel (pycocotools works in fifths, rounded) give both the same pixels.
INSET_PX = 0.05


def build_labelme(result: PredictedImage, image: Path, folder: Path) -> dict[str, Any]:
    """The JSON of a prediction that lies in `folder`, for the image at that path.

    Where each pixel has one class, holes are filled by the regions in them, which are drawn later: largest first.
    Elsewhere regions with holes are cut open.
    """
    height, width = result.size
    names = classes_drawn(result.task)
    outlines = list(_outlines(result, fill_holes=result.task.mode == "multiclass"))
    outlines.sort(key=lambda item: -_area(item[1]))
    shapes = [
        {
            "label": names[index],
            "points": move_in(ring).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for index, ring in outlines
    ]
    about = {"imagePath": _path_from(folder, image), "imageData": None, "imageHeight": height, "imageWidth": width}
    return {"version": VERSION, "flags": {}, "shapes": shapes, **about}


def move_in(ring: np.ndarray) -> np.ndarray:
    """A ring (N, 2), clockwise to the eye, whose right and lower sides are moved in by INSET_PX, float64 (N, 2)."""
    came, goes = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    at_right = np.maximum(came[:, 1], goes[:, 1]) > 0  # one of the two sides runs down
    at_bottom = np.minimum(came[:, 0], goes[:, 0]) < 0  # or to the left
    return ring - INSET_PX * np.stack([at_right, at_bottom], axis=1)


def _outlines(result: PredictedImage, *, fill_holes: bool) -> Iterator[tuple[int, np.ndarray]]:
    region: Region
    for region in find_regions(result.labels, result.task):
        rings = region.rings[:1] if fill_holes else cut_holes(region)
        yield from ((region.index, ring) for ring in rings)


def _area(ring: np.ndarray) -> int:
    """Twice the area inside a ring."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _path_from(folder: Path, image: Path) -> str:
    """The path of an image as seen from a folder; the whole one where it lies on another drive."""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:
        return Path(os.path.abspath(image)).as_posix()
