"""Predictions of many images as one annotation file of COCO: https://cocodataset.org/#format-data.

Categories are numbered from 1 in the order of the model's classes; a binary task has its foreground alone.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pycocotools import mask as coco_mask

from segtrain.commands.predict.polygons import classes_drawn, cut_holes, find_regions
from segtrain.commands.predict.result import Result
from segtrain.files import explained_write, temporary_name
from segtrain.inference.task import Task


def polygon_annotations(result: Result) -> list[dict[str, Any]]:
    """An object for each connected region: polygons that do not overlap, in pixels from the top left corner of the
    image, for holes are cut open (COCO knows none); bbox [left, top, width, height]; area in pixels."""
    first = min(classes_drawn(result.task))
    return [
        {
            "category_id": region.index - first + 1,
            "segmentation": [ring.ravel().tolist() for ring in cut_holes(region)],
            "bbox": list(region.box),
            "area": region.area_px,
            "iscrowd": 0,
        }
        for region in find_regions(result.labels, result.task)
    ]


def run_annotations(result: Result) -> list[dict[str, Any]]:
    """An object for each class that occurs, as COCO's compressed runs."""
    annotations = []
    for place, index in enumerate(classes_drawn(result.task), start=1):
        layer = result.labels[index] if result.labels.ndim == 3 else result.labels == index
        runs = coco_mask.encode(np.asfortranarray(layer, np.uint8))
        if area := int(coco_mask.area(runs)):
            size, counts = runs["size"], runs["counts"].decode("ascii")
            annotations.append(
                {
                    "category_id": place,
                    "segmentation": {"size": list(map(int, size)), "counts": counts},
                    "bbox": list(map(int, coco_mask.toBbox(runs))),
                    "area": area,
                    "iscrowd": 0,
                }
            )
    return annotations


class CocoFile:
    """An annotation file that grows image by image, and is there under its name once it is finished."""

    def __init__(self, path: Path, task: Task, annotate: Callable[[Result], list[dict[str, Any]]]):
        self.path = path
        self._temporary = temporary_name(path)
        self._file: TextIO | None = None
        self._annotate = annotate
        self._images: list[dict[str, Any]] = []
        self._categories = [
            {"id": place, "name": name} for place, name in enumerate(classes_drawn(task).values(), start=1)
        ]
        self._count = 0

    def take(self, result: Result) -> tuple[dict[str, Any], list[str]]:
        """What is to be added for an image; may be called from any thread."""
        height, width = result.size
        image = {"file_name": result.file_name, "height": height, "width": width}
        return image, [json.dumps(annotation, separators=(",", ":")) for annotation in self._annotate(result)]

    def add(self, taken: tuple[dict[str, Any], list[str]]) -> None:
        """Add what was taken. Raises DataError where it cannot be written."""
        image, annotations = taken
        self._images.append({"id": len(self._images) + 1, **image})
        for annotation in annotations:
            self._count += 1
            start = "\n" if self._count == 1 else ",\n"
            self._write(f'{start}{{"id":{self._count},"image_id":{len(self._images)},{annotation[1:]}')

    def finish(self) -> None:
        """Close the file and give it its name. Raises DataError where it cannot be written."""
        rest = json.dumps({"images": self._images, "categories": self._categories})
        self._write(f"\n],{rest[1:]}\n")
        with explained_write(self.path):
            self._file.close()
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file:
            with suppress(OSError):  # the last lines do not go onto a full disk
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        with explained_write(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._temporary.open("w", encoding="utf-8")
                self._file.write('{"annotations":[')
            self._file.write(text)
