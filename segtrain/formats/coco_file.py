"""Annotation files of COCO, read into samples."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segtrain.errors import DataError, name_some
from segtrain.formats import polygons
from segtrain.formats.coco_geometry import CocoImage, check_geometry, name_object
from segtrain.formats.coco_images import ImageFinder
from segtrain.formats.sample import Sample, SampleTable

COCO_FILE, COCO_LISTS = "an annotation file of COCO", ("images", "annotations", "categories")


def read_file(
    path: Path,
    images: Path,
    panoptic: Path | None,
    legend: polygons.Legend,
    *,
    crowd: str | None,
    notes: list[str] | None = None,
    thorough: bool = False,
) -> SampleTable:
    """The images of a file with their objects, for coco.read_mask. `images` and `panoptic` are folders. What is worth
    knowing is appended to `notes`; with `thorough` every object is looked at for it. Raises DataError, with the file,
    for whatever contradicts itself or is not there."""
    notes = [] if notes is None else notes
    content = polygons.load_json(path, COCO_FILE, lists=COCO_LISTS)
    pictures = _pictures(path, content["images"], images)
    values = _Values(path, content["categories"], legend, crowd)
    if panoptic is not None:
        texts, objects = _panoptic_texts(path, content["annotations"], pictures, values, panoptic), {}
    else:
        texts, objects = {}, _objects(path, content["annotations"], pictures, values)
    values.check(notes)
    if panoptic is None:
        check_geometry(path, content["annotations"], pictures, notes=notes, thorough=thorough)
    drawing = {"outside": legend.outside, "largest_first": True}
    return SampleTable(
        Sample(
            picture.name,
            picture.file,
            texts.get(key)
            or polygons.to_text(path, image=picture.file, size=picture.size, objects=objects.get(key, ()), **drawing),
        )
        for key, picture in pictures.items()
    )


def _pictures(path: Path, records: Sequence[dict], folder: Path) -> dict[Any, CocoImage]:
    pictures: dict[Any, CocoImage] = {}
    owners: dict[str, Any] = {}
    missing, finder = [], ImageFinder(folder)
    for index, record in enumerate(records):
        key, written = _fields(record, ("id", "file_name"), path, f"images[{index}]")
        file = finder.find(str(written))
        if file is None:
            missing.append(str(written))
            continue
        name = polygons.name_of(file)
        if key in pictures:
            raise DataError(f"{path}: {pictures[key].file} and {file} have the same id {key}")
        if name in owners:
            raise DataError(f"{path}: the images {owners[name]} and {key} have the same name {name}")
        owners[name] = key
        pictures[key] = CocoImage(name, os.path.join(folder, file), polygons.size_in(record, "height", "width"))
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(records)} images are not in {folder}: {name_some(missing)}"
            f"{finder.describe_doubles()}"
        )
    return pictures


def _fields(record: Any, keys: Sequence[str], path: Path, what: str) -> list[Any]:
    missing = [key for key in keys if not isinstance(record, dict) or key not in record]
    if missing:
        raise DataError(f"{path}: {what} has no {' and no '.join(missing)}")
    for key in keys:
        if not isinstance(record[key], list if key == "segments_info" else (int, float, str)):
            raise DataError(f"{path}: {what} has {json.dumps(record[key])[:60]} as {key}")
    return [record[key] for key in keys]


class _Values:
    """What the objects of a file are; counts what is wrong with them until the whole file is seen."""

    def __init__(self, path: Path, categories: Sequence[dict], legend: polygons.Legend, crowd: str | None):
        self.path, self.legend, self.crowd = path, legend, crowd
        self.names: dict[Any, str] = {}
        for index, record in enumerate(categories):
            key, name = _fields(record, ("id", "name"), path, f"categories[{index}]")
            if key in self.names:
                raise DataError(f"{path}: the categories {self.names[key]} and {name} have the same id {key}")
            self.names[key] = str(name)
        self.unclaimed: Counter[str] = Counter()
        self.objects: Counter[str] = Counter()
        self.crowds: Counter[str] = Counter()

    def find(self, record: dict, what: str) -> int:
        """The raw mask value of an object. Raises DataError for an unknown category."""
        (category,) = _fields(record, ("category_id",), self.path, what)
        if category not in self.names:
            known = ", ".join(map(str, list(self.names)[:8])) or "none"
            raise DataError(f"{self.path}: {what} has the unknown category {category!r}; known: {known}")
        label = self.names[category]
        if label not in self.legend.values:
            if self.legend.other is None:
                self.unclaimed[label] += 1
            return self.legend.other or 0
        is_crowd = record.get("iscrowd") or 0
        if is_crowd not in (0, 1):
            raise DataError(f"{self.path}: {what} has {json.dumps(is_crowd)[:60]} as iscrowd; write 0 or 1")
        self.objects[label] += 1
        self.crowds[label] += bool(is_crowd)
        return polygons.IGNORED_RAW if is_crowd and self.crowd != "class" else self.legend.values[label]

    def check(self, notes: list[str]) -> None:
        """Adds to the notes how many crowds are ignored. Raises DataError for labels that no class claims, and for more
        crowds than there can be."""
        polygons.refuse_unclaimed(self.path, self.unclaimed, self.legend)
        crowds, objects = self.crowds.total(), self.objects.total()
        if self.crowd is not None or not crowds:
            return
        listed = name_some([f"{label} ({count})" for label, count in self.crowds.most_common() if count], most=6)
        found = f"{self.path}: {crowds} of {objects} objects have iscrowd: 1"
        keys = "write data.crowd: class to train on them as their class, or data.crowd: ignore"
        of_class = any(2 * count > self.objects[label] for label, count in self.crowds.items() if count > 2)
        if 2 * crowds > objects or (10 * crowds > objects and crowds > 2) or of_class:
            raise DataError(
                f"{found}, which CVAT writes for everything painted with the brush: {listed}; {keys} if they really "
                f"are crowds"
            )
        notes.append(
            f"{found} and are ignored: {listed}; {keys} if they really are crowds (either key removes this line)"
        )


def _objects(
    path: Path, records: Sequence[dict], pictures: dict[Any, CocoImage], values: _Values
) -> dict[Any, list[tuple[int, str, Any]]]:
    """The objects of each image that has some, as polygons.to_text takes them."""
    objects: dict[Any, list[tuple[int, str, Any]]] = {}
    boxes = []
    for index, record in enumerate(records):
        what = name_object(record, index)
        (image,) = _fields(record, ("image_id",), path, what)
        if image not in pictures:
            raise DataError(f"{path}: {what} belongs to the unknown image {image!r}")
        if "segments_info" in record:
            raise DataError(f"{path}: is a panoptic file; write its folder of PNG files in data.panoptic")
        value = values.find(record, what)
        if not record.get("segmentation"):
            boxes.append(what)
        objects.setdefault(image, []).append((value, what, record.get("segmentation")))
    if boxes:
        raise DataError(
            f"{path}: {len(boxes)} of {len(records)} objects have no segmentation, for example {boxes[0]}; boxes do "
            f"not make masks: export the dataset for segmentation, not for detection"
        )
    return objects


def _panoptic_texts(
    path: Path, records: Sequence[dict], pictures: dict[Any, CocoImage], values: _Values, folder: Path
) -> dict[Any, str]:
    """Sample.mask of each image that has a PNG file."""
    texts: dict[Any, str] = {}
    there = set(os.listdir(folder))
    for index, record in enumerate(records):
        what = f"annotations[{index}]"
        image, file, segments = _fields(record, ("image_id", "file_name", "segments_info"), path, what)
        if image not in pictures:
            raise DataError(f"{path}: {what} belongs to the unknown image {image!r}")
        if file not in there:
            raise DataError(f"{path}: {what}: {folder}/{file} does not exist")
        known = {0: values.legend.outside}
        for number, segment in enumerate(segments):
            (key,) = _fields(segment, ("id",), path, f"{what}.segments_info[{number}]")
            if not isinstance(key, int):
                raise DataError(f"{path}: {what}.segments_info[{number}] has the id {key!r}; ids are integers")
            known[key] = values.find(segment, f"{what}.segments_info[{number}]")
        picture = pictures[image]
        content = {"image": picture.file, "size": picture.size, "png": f"{folder}/{file}", "known": list(known.items())}
        texts[image] = f"{path}\n{folder}/{file}\t{json.dumps(content, separators=(',', ':'))}"
    return texts
