"""labelme: outlines of each image as its JSON file, Kentaro Wada, https://github.com/wkentaro/labelme.

Polygons, which annotators can correct; labelme's masks can only be moved and deleted.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.commands.predict.polygons import Region, classes_drawn, cut_holes
from segtrain.inference.prediction import PredictedImage

LABELME_VERSION = "5.5.0"  # of labelme, the oldest that knows all that is written here

# labelme fills polygons with Pillow, which takes the whole part of a number as a pixel and fills the outline too, where
# pycocotools, and so segtrain, fills what lies inside of it. Right and lower sides that are moved in by less than a
# tenth of a pixel (pycocotools works in fifths, rounded) give both the same pixels.
INSET_PX = 0.05


def build_labelme(result: PredictedImage, regions: Sequence[Region], image: Path, folder: Path) -> dict[str, Any]:
    """The JSON, in `folder`, of a prediction and its regions, for the image at that path.

    Where each pixel is in one region, holes are filled by the regions in them, which are drawn later: largest first.
    Elsewhere regions with holes are cut open.
    """
    height, width = result.size
    names = classes_drawn(result.task)
    covered = result.labels.ndim == 2 and sum(region.area_px for region in regions) == height * width
    rings_of = [region.rings[:1] if covered else cut_holes(region) for region in regions]
    owners = [names[region.index] for region, own in zip(regions, rings_of, strict=True) for _ in own]
    moved, areas = move_in([ring for rings in rings_of for ring in rings])
    shapes = [
        {
            "label": owners[number],
            "points": moved[number].tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for number in np.argsort(-areas, kind="stable").tolist()
    ]
    about = {"imagePath": _path_from(folder, image), "imageData": None, "imageHeight": height, "imageWidth": width}
    return {"version": LABELME_VERSION, "flags": {}, "shapes": shapes, **about}


def move_in(rings: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Rings (N, 2), clockwise to the eye, float64, whose right and lower sides are moved in by INSET_PX; and twice the
    area inside each, before that, (rings,) int64."""
    if not rings:
        return [], np.zeros(0, np.int64)
    points, lengths = np.concatenate(rings), np.array([len(ring) for ring in rings])
    starts = np.cumsum(lengths) - lengths
    follower = np.arange(1, len(points) + 1)  # of each point in its ring
    follower[starts + lengths - 1] = starts
    goes = points[follower] - points
    came = np.empty_like(goes)
    came[follower] = goes
    at_right = np.maximum(came[:, 1], goes[:, 1]) > 0  # one of the two sides runs down
    at_bottom = np.minimum(came[:, 0], goes[:, 0]) < 0  # or to the left
    moved = points - INSET_PX * np.stack([at_right, at_bottom], axis=1)
    (x, y), (next_x, next_y) = points.T, points[follower].T
    return np.split(moved, starts[1:]), np.add.reduceat(x * next_y - next_x * y, starts)


def _path_from(folder: Path, image: Path) -> str:
    """The path of an image as seen from a folder; the whole one where it lies on another drive."""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:
        return Path(os.path.abspath(image)).as_posix()
