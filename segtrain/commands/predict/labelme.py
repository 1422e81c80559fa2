"""labelme: a JSON file of polygons for each image. Kentaro Wada, https://github.com/wkentaro/labelme.

Annotators can correct polygons; labelme's masks can only be moved and deleted.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.commands.predict.polygons import Region, classes_drawn, cut_holes
from segtrain.inference.prediction import PredictedImage

LABELME_VERSION = "5.5.0"  # the oldest labelme version that supports everything written here

# labelme fills polygons with Pillow, which truncates coordinates to pixels and fills the outline too. pycocotools, and
# therefore segtrain, fills only the inside. If the right and lower sides are moved inwards by less than a tenth of a
# pixel, both fill the same pixels, because pycocotools rounds to fifths of a pixel.
INSET_PX = 0.05


def build_labelme(result: PredictedImage, regions: Sequence[Region], image: Path, folder: Path) -> dict[str, Any]:
    """The content of the JSON file in `folder` for the image at a path, its prediction and its regions.

    If every pixel is in a region, holes are not cut out: regions are drawn from the largest to the smallest, so those
    in a hole cover it. Otherwise regions with holes are cut into several polygons.
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
    """The rings (N, 2) float64, clockwise as seen on screen, with their right and lower sides moved inwards by
    INSET_PX; and twice the area of each ring before that, (rings,) int64."""
    if not rings:
        return [], np.zeros(0, np.int64)
    points, lengths = np.concatenate(rings), np.array([len(ring) for ring in rings])
    starts = np.cumsum(lengths) - lengths
    follower = np.arange(1, len(points) + 1)  # the next point in the ring
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
    """The path of an image relative to a folder, or the absolute path if it is on another drive."""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:
        return Path(os.path.abspath(image)).as_posix()
