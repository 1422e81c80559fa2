"""Exports of masks: folders of mask files, with the names of their values or colors if the tool writes them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segtrain.commands.check.export import SPLIT_ORDER, Export, has_images, listed, walk_images
from segtrain.commands.check.finding import make_class
from segtrain.config.data_schema import ClassConfig
from segtrain.errors import DataError, count_of, name_some
from segtrain.formats.lists import read_lines, read_names
from segtrain.formats.polygons import fold_name
from segtrain.formats.sample import IMAGE_SUFFIXES, SPLIT_NAMES, Sample, SampleTable

_IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "gt", "groundtruth", "SegmentationClass")


def name_classes(found: Sequence[tuple[str, Any]], key: str) -> list[ClassConfig]:
    """Classes from pairs of names and values or colors. Names that differ only in case or spaces are one class."""
    joined: dict[str, tuple[str, list]] = {}
    for name, value in found:
        joined.setdefault(fold_name(name), (name.strip(), []))[1].append(value)
    return [make_class(name, key, values) for name, values in joined.values()]


def find_roboflow_masks(folder: Path) -> Export | None:
    """Roboflow's Semantic Segmentation Masks: a.jpg, a_mask.png and _classes.csv in train, valid and test."""
    below = {SPLIT_NAMES[item.name]: item for item in listed(folder) if item.name in SPLIT_NAMES}
    places = {
        split: below[split] for split in SPLIT_ORDER if split in below and (below[split] / "_classes.csv").is_file()
    }
    if not places and not (folder / "_classes.csv").is_file():
        return None
    named: dict[int, str] = {}
    for table in [place / "_classes.csv" for place in places.values()] or [folder / "_classes.csv"]:
        for value, name in _read_classes(table).items():
            if named.setdefault(value, name) != name:
                raise DataError(
                    f"{table}: value {value} is '{name}', but '{named[value]}' in another split; make them agree"
                )
    where: Any = {split: place.name for split, place in places.items()} if places else "."
    if places and "train" not in places:
        raise DataError(f"{folder}: has no folder train, only {name_some([place.name for place in places.values()])}")
    has_val = "val" in places
    where = where if len(places) != 1 else places["train"].name
    data = {"format": "folders", "root": str(folder), "images": where, "masks": where, "mask_suffix": "_mask"}
    classes = name_classes([(name, value) for value, name in sorted(named.items())], "value")
    return Export("Roboflow's masks", data, classes=classes, has_val=has_val)


def _read_classes(path: Path) -> dict[int, str]:
    """The names of the values in a _classes.csv: the header `Pixel Value, Class`, then a row for each class."""
    (_, header), *rows = read_lines(path)
    if not header.casefold().startswith("pixel"):
        raise DataError(
            f"{path}: has no column of pixel values, only {header[:60]}; export it as Semantic Segmentation Masks or "
            "COCO Segmentation"
        )
    found = {}
    for line, text in rows:
        value, _, name = (part.strip().strip('"') for part in text.partition(","))
        if not (value.isascii() and value.isdecimal() and len(value) < 6 and name):
            raise DataError(f"{path}:{line}: expected a pixel value and a class name, not: {text[:60]}")
        found[int(value)] = name
    return found


def find_voc_masks(folder: Path) -> Export | None:
    """Folders like those of PASCAL VOC: SegmentationClass, JPEGImages and lists. CVAT adds labelmap.txt with the
    colors.

    Listed images without a mask are left out; CVAT writes them for frames without objects."""
    masks = folder / "SegmentationClass"
    if not masks.is_dir():
        return None
    images = next((folder / name for name in _IMAGES if (folder / name).is_dir()), None)
    if images is None:
        raise DataError(
            f'{folder}: has SegmentationClass but no JPEGImages; export with "Save images", or add that folder'
        )
    lists = {path.stem: path for path in listed(folder / "ImageSets/Segmentation") if path.suffix == ".txt"}
    splits = {split: lists[split] for split in SPLIT_ORDER if split in lists and lists[split].stat().st_size}
    if not {"train", "val"} <= splits.keys():
        whole_set = [lists[name] for name in ("default", "trainval") if name in lists] or [*lists.values()]
        splits = {"": whole_set[0]} if whole_set else {}
    classes = _read_labelmap(folder / "labelmap.txt")
    there = [{path.stem: path for path in sorted(walk_images(place))} for place in (images, masks)]
    found = {split: [name for _, name in read_names(path)] for split, path in splits.items()} or {"": sorted(there[1])}
    whole = {split: [name for name in names if all(name in files for files in there)] for split, names in found.items()}
    without = sum(map(len, found.values())) - sum(map(len, whole.values()))
    if not any(whole.values()):
        raise DataError(f"{folder}: none of the images in {images} has a mask in {masks}")
    notes = [f"left out: {count_of(without, 'listed image')} without a mask or an image"] if without else []
    kinds = [Counter(files[name].suffix for names in whole.values() for name in names) for files in there]
    if not without and splits and all(len(kind) == 1 for kind in kinds):
        patterns = [f"{place.name}/{{name}}{suffix}" for place, (suffix,) in zip((images, masks), kinds, strict=True)]
        files = {split or "train": path.relative_to(folder).as_posix() for split, path in splits.items()}
        data = {"format": "list", "root": str(folder), "files": files, "images": patterns[0], "masks": patterns[1]}
        return Export("VOC", data, classes=classes, has_val="val" in splits)
    samples = {
        split or "all": SampleTable(Sample(name, *(str(files[name]) for files in there)) for name in names)
        for split, names in whole.items()
    }
    return Export("VOC", {}, notes, classes, samples, has_val="val" in samples)


def _read_labelmap(path: Path) -> list[ClassConfig]:
    """The classes in CVAT's labelmap.txt, one `name:r,g,b::` per line; empty if the file does not exist."""
    if not path.is_file():
        return []
    found = []
    for line, text in read_lines(path):
        if text.startswith("#"):
            continue
        match = re.fullmatch(r"(.+?):(\d{1,3}),\s*(\d{1,3}),\s*(\d{1,3}):.*", text)
        color = [int(match[place]) for place in (2, 3, 4)] if match else []
        if not match or max(color) > 255:
            raise DataError(f"{path}:{line}: expected a name and a color, like car:255,0,0::, not: {text[:60]}")
        found.append((match[1], color))
    return name_classes(found, "color")


def find_mask_folders(folder: Path) -> Export | None:
    """The folders or globs of images and masks below a folder, found by their names. If file names like a.jpg and
    a_mask.png distinguish them, both are the folder itself."""
    inside = {item.name: item for item in listed(folder) if item.is_dir()}
    pairs = [(image, mask) for image in _IMAGES for mask in _MASKS]
    for image, mask in pairs:
        if image in inside and mask in inside and has_images(inside[image]) and has_images(inside[mask]):
            return Export("folders", {}, folders=(str(inside[image]), str(inside[mask])))
    splits = [place for name, place in inside.items() if name.casefold() in SPLIT_NAMES]
    for image, mask in pairs:
        if splits and all((place / image).is_dir() and has_images(place / mask) for place in splits):
            return Export("folders", {}, folders=(f"{folder}/*/{image}", f"{folder}/*/{mask}"))
    names = [
        item.stem for place in (folder, *splits) for item in listed(place) if item.suffix.lower() in IMAGE_SUFFIXES
    ]
    masked = sum(bool(re.search(r"(^|[_\W])(mask|label|seg|gt)s?\d*$|^mask", name, re.IGNORECASE)) for name in names)
    return Export("folders", {}, folders=(str(folder), str(folder))) if 4 * masked >= len(names) > 1 else None
