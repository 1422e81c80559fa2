"""COCO: predictions of many images in one annotation file, https://cocodataset.org/#format-data.

Categories are numbered from 1 in the order of the model's classes; a binary task has only its foreground.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segtrain.commands.predict.polygons import classes_drawn, cut_holes
from segtrain.commands.predict.result import Result
from segtrain.files import explained_write, replacing
from segtrain.inference.task import Task

Annotation = tuple[int, Any, list[int], int]  # category_id, segmentation, [left, top, width, height], area in pixels


def polygon_annotations(result: Result) -> Iterator[Annotation]:
    """An object for each connected region: polygons that do not overlap, in pixels from the top left corner of the
    image. Regions with holes are cut into several polygons, because COCO has no holes."""
    first = min(classes_drawn(result.task))
    for region in result.regions:
        polygons = [ring.ravel().tolist() for ring in cut_holes(region)]
        yield region.index - first + 1, polygons, list(region.box), region.area_px


def run_annotations(result: Result) -> Iterator[Annotation]:
    """An object for each class in the image, as COCO's compressed run lengths."""
    for number, index in enumerate(classes_drawn(result.task), start=1):
        runs = coco_mask.encode(np.asfortranarray(result.layer(index), np.uint8))
        if area := int(coco_mask.area(runs)):
            segmentation = {"size": list(result.size), "counts": runs["counts"].decode("ascii")}
            yield number, segmentation, list(map(int, coco_mask.toBbox(runs))), area


class CocoFile:
    """An annotation file that is written image by image, in the context of `writing`."""

    def __init__(self, path: Path, task: Task, annotate: Callable[[Result], Iterable[Annotation]]):
        self.path = path
        self.files = (path.name,)
        self._annotate = annotate
        self._images: list[dict[str, Any]] = []
        self._categories = [{"id": id, "name": name} for id, name in enumerate(classes_drawn(task).values(), start=1)]
        self._count = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the file; it gets its name when the block ends without an error. Raises DataError if it cannot be
        written."""
        temporary = replacing(self.path)
        with explained_write(self.path), temporary as path, path.open("w", encoding="utf-8") as self._file:
            self._file.write('{"annotations":[')
            yield
            rest = json.dumps({"images": self._images, "categories": self._categories})
            self._file.write(f"\n],{rest[1:]}\n")

    def take(self, result: Result) -> tuple[dict[str, Any], list[str]]:
        """The entries of an image, for `add`. May be called from any thread."""
        height, width = result.size
        image = {"file_name": result.file_name, "height": height, "width": width}
        keys = ("category_id", "segmentation", "bbox", "area")
        objects = (dict(zip(keys, annotation, strict=True), iscrowd=0) for annotation in self._annotate(result))
        return image, [json.dumps(item, separators=(",", ":")) for item in objects]

    def add(self, taken: tuple[dict[str, Any], list[str]]) -> None:
        """Add what `take` returned."""
        image, annotations = taken
        self._images.append({"id": len(self._images) + 1, **image})
        with explained_write(self.path):
            for annotation in annotations:
                self._count += 1
                start = "\n" if self._count == 1 else ",\n"
                self._file.write(f'{start}{{"id":{self._count},"image_id":{len(self._images)},{annotation[1:]}')
