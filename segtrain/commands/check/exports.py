"""Exports of labeling tools: which kind a folder or file is, and the keys of `data` that read it."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from segtrain.commands.check.export import SPLIT_ORDER, Export, files_in, folders_in, split_of, walk_images
from segtrain.commands.check.export_masks import find_mask_folders, find_roboflow_masks, find_voc_masks
from segtrain.commands.check.export_tables import find_predicted, find_table
from segtrain.errors import DataError, count_of, name_some
from segtrain.formats import polygons
from segtrain.formats.coco_file import COCO_FILE, COCO_LISTS
from segtrain.formats.coco_images import ImageFinder
from segtrain.formats.cvat_file import read_cvat
from segtrain.formats.sample import SPLIT_NAMES, require_path

_SAMPLED = 20  # files in a folder that are opened to see what they are
_BESIDE_OBJECTS = (
    "captions_",
    "image_info_",
    "panoptic_",
    "person_keypoints_",
    "stuff_",
)  # files of the COCO dataset itself
_HEAD = 4096  # bytes of a file that are read to see what it is
_KNOWN = (
    "an export of CVAT (CVAT for images 1.1, Segmentation mask 1.1, COCO 1.0), Label Studio (COCO), Roboflow (COCO "
    "Segmentation, Semantic Segmentation Masks), labelme, a VOC-like folder, a table of paths or of run lengths, or "
    "folders named images and masks"
)


def find_export(path: Path, images: Path | None = None) -> Export:
    """The export in a folder or file. `images` is the folder of the images of an annotation file, None if they are next
    to it. Raises DataError if nothing can be read, with what to export instead, and if there are several exports."""
    require_path(path, "init")
    if path.is_file():
        return _of_file(path, images)
    problems: list[DataError] = []
    found = _in_folder(path, problems)
    if found is not None:
        return found
    below = []
    for folder in folders_in(path):
        try:
            below += [(folder, inner) for inner in [_in_folder(folder, problems)] if inner is not None]
        except DataError as error:
            problems.append(error)
    if len(below) == 1:
        return below[0][1]
    if below:
        _list_choices("exports", path, [folder for folder, _ in below])
    if problems:
        raise problems[0]
    _refuse_others(path)
    find_table(path, files_in(path, ".csv", ".tsv"))
    raise DataError(
        f"{path}: init does not recognize it; it reads {_KNOWN}; or write two folders, of images and of masks"
    )


def _list_choices(what: str, path: Path, choices: Sequence[Path]) -> None:
    listed = name_some([str(choice) for choice in choices], most=6)
    raise DataError(
        f"{path}: contains {len(choices)} {what}: {listed}; choose one, as in python -m segtrain init "
        f"{quote(str(choices[0]))} -o mine.yml, or merge them in the labeling tool"
    )


def _of_file(path: Path, images: Path | None) -> Export:
    suffix = path.suffix.lower()
    if suffix in (".zip", ".gz", ".tgz", ".7z", ".rar"):
        unpack = f"python -m zipfile -e {quote(str(path))} {quote(str(path.with_suffix('')))}"
        raise DataError(
            f"{path}: is an archive; unpack it{f' ({unpack})' * (suffix == '.zip')} and write the path of the folder"
        )
    above = path.parent.parent if path.parent.name.lower() in ("annotations", "labels", "annotation") else path.parent
    found: Export | None = None
    if suffix == ".json":
        kind = _json_kind(path)
        found = _coco(above, [path], images) if kind == "coco" else None
        if kind == "labelme":
            raise DataError(f"{path}: is a labelme file of one image; write the path of the folder, {path.parent}")
        _refuse_json(path, kind)
    elif suffix == ".xml":
        found = _cvat_of(path, images)
    elif suffix in (".csv", ".tsv", ".txt"):
        found = find_table(path.parent, [path])
    if found is None:
        _refuse_others(path.parent, [path])
        raise DataError(f"{path}: init does not recognize it; it reads {_KNOWN}")
    return found


def _in_folder(folder: Path, problems: list[DataError]) -> Export | None:
    """The export in a folder. Errors in JSON files, which may belong to something else, are added to the problems."""
    found = _find_coco(folder, problems)
    for find in (_find_cvat, find_roboflow_masks, find_voc_masks, _find_labelme, find_table, find_mask_folders):
        found = found or find(folder)
    return found


def _json_kind(path: Path) -> str:
    """What a JSON file is: coco, labelme, or something else. Raises DataError for broken JSON."""
    content = polygons.read_json(path)
    first = content[0] if isinstance(content, list) and content else content
    keys = first.keys() if isinstance(first, dict) else set()
    if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in COCO_LISTS):
        return "coco"
    if keys >= {"shapes", "imagePath"}:
        return "labelme"
    if keys >= {"images", "annotations"} or keys >= {"images", "categories"}:
        return "incomplete"
    return next((kind for kind, needed in _OTHER_JSON.items() if needed & keys), "unknown")


_OTHER_JSON = {
    "Label Studio's own JSON": {"data", "completions"},
    "a VIA project": {"_via_img_metadata", "_via_settings"},
    "a CreateML file": {"image", "annotations"},
    "a Labelbox file": {"data_row"},
    "a GeoJSON file": {"features"},
}


def _refuse_json(path: Path, kind: str) -> None:
    if kind in _OTHER_JSON:
        advice = (
            "rasterize it to masks in GeoTIFF files"
            if kind == "a GeoJSON file"
            else "export as COCO, with polygons or masks"
        )
        raise DataError(f"{path}: is {kind}; {advice}")
    if kind == "incomplete":
        polygons.load_json(path, COCO_FILE, lists=COCO_LISTS)


def _find_coco(folder: Path, problems: list[DataError]) -> Export | None:
    """COCO files in a folder, in its annotations/, or in its folders of splits."""
    places = [folder, *(item for item in folders_in(folder) if item.name == "annotations" or split_of(item.name))]
    found = []
    for file in (file for place in places for file in files_in(place, ".json")[:_SAMPLED]):
        try:
            if not file.name.startswith(_BESIDE_OBJECTS) and _json_kind(file) == "coco":
                found.append(file)
        except DataError as error:
            problems.append(error)
    return _coco(folder, found) if found else None


def _coco(root: Path, files: Sequence[Path], given: Path | None = None) -> Export:
    files = sorted(
        files, key=lambda file: (SPLIT_ORDER.index(_split_of_file(file)) if _split_of_file(file) else 0, file)
    )
    splits = [_split_of_file(file) for file in files]
    if len(files) > 1 and (len(set(splits)) < len(files) or "" in splits or "train" not in splits):
        _list_choices("COCO files", root, files)
    images, crowds, objects = [], 0, 0
    for file, split in zip(files, splits, strict=True):
        content = polygons.load_json(file, COCO_FILE, lists=COCO_LISTS)
        names = [str(item.get("file_name", "")) for item in content["images"][:20] if isinstance(item, dict)]
        images.append(given or find_predicted(file, names) or _find_images(root, file, split, names))
        marked = [item.get("iscrowd") for item in content["annotations"] if isinstance(item, dict)]
        crowds, objects = crowds + marked.count(1), objects + len(marked)
    root, *both = _below_one_root(root, *files, *images)
    files, images = both[: len(files)], both[len(files) :]
    data = {"format": "coco", "root": str(root)}
    data |= _by_split("annotations", files, splits, root) | _by_split("images", images, splits, root)
    notes = []
    if crowds:
        data["crowd"] = "class" if 20 * crowds > objects else "ignore"
        meaning = "ordinary masks painted in CVAT" if data["crowd"] == "class" else "crowds, which are ignored"
        notes = [f"{crowds} of {objects} objects have iscrowd: 1 and are treated as {meaning}; see data.crowd"]
    return Export("COCO", data, notes, has_val="val" in splits and len(splits) > 1)


def _split_of_file(file: Path) -> str:
    return split_of(file.stem) or split_of(file.parent.name)


def _by_split(key: str, paths: Sequence[Path], splits: Sequence[str], root: Path) -> dict[str, Any]:
    below = [_below(path, root) for path in paths]
    if len(below) == 1:
        return {key: below[0]}
    return {key: below[0] if key == "images" and len(set(below)) == 1 else dict(zip(splits, below, strict=True))}


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _below_one_root(*paths: Path) -> list[Path]:
    """A folder that contains all paths, if possible the first path, and the other paths below that folder."""
    root, *others = paths
    if all(path.is_relative_to(root) for path in others):
        return [*paths]
    top = Path(os.path.commonpath([path.absolute() for path in paths]))
    shown = top if others[-1].is_absolute() else Path(os.path.relpath(top))
    return [shown, *(shown / path.absolute().relative_to(top) for path in others)]


def _find_images(root: Path, file: Path, split: str, names: Sequence[str]) -> Path:
    """The folder to which the image names in an annotation file are relative. Raises DataError if there is none."""
    last = file.stem.rpartition("_")[2]  # train2017 of instances_train2017
    words = [word for word, meant in SPLIT_NAMES.items() if meant == split]
    tried = [file.parent / "images", *(root / f"images/{word}" for word in (last, *words))]
    tried += [*(root / word for word in (last, *words)), root / "images", file.parent, root]
    places = [place for place in dict.fromkeys(tried) if place.is_dir() and place.is_relative_to(root)]
    for place in places:
        if names and all((place / name).is_file() for name in names):
            return place
    for place in places:
        finder = ImageFinder(place)
        if not names or any(finder.find(name) for name in names):
            return place
    raise DataError(
        f"{file}: its images are not below {root}: {name_some(names)}; export with images, or put them in {root}/images"
    )


def _xml_root(path: Path) -> str:
    match = re.search(r"<([A-Za-z][\w:.-]*)", _head(path))
    return match[1] if match else ""


def _find_cvat(folder: Path) -> Export | None:
    files = [file for file in files_in(folder, ".xml") if _xml_root(file) == "annotations"]
    if len(files) > 1:
        _list_choices("CVAT files", folder, files)
    return _cvat_of(files[0]) if files else None


def _cvat_of(path: Path, images: Path | None = None) -> Export:
    listed = read_cvat(path).images
    beside = path.parent / "images"
    found = images or find_predicted(path, [image.name for image in listed[:_SAMPLED]])
    found = found or (beside if beside.is_dir() else path.parent)
    root, file, folder = _below_one_root(path.parent, path, found)
    data = {"format": "cvat", "root": str(root), "annotations": _below(file, root), "images": _below(folder, root)}
    splits = {SPLIT_NAMES.get(image.subset.casefold(), "") for image in listed}
    return Export("CVAT", data, has_val={"train", "val"} <= splits and "" not in splits)


def _find_labelme(folder: Path) -> Export | None:
    """labelme files in a folder, or in its folders of splits."""

    def holds(place: Path) -> bool:
        inside = [place, *folders_in(place)]
        return any(_is_labelme(file) for item in inside for file in files_in(item, ".json")[:3])

    splits = {split_of(item.name): item.name for item in folders_in(folder) if split_of(item.name) and holds(item)}
    if {"train", "val"} <= splits.keys():
        places: Any = {split: splits[split] for split in SPLIT_ORDER if split in splits}
    elif holds(folder):
        places = "."
    else:
        return None
    data, has_val = {"format": "labelme", "root": str(folder), "annotations": places}, isinstance(places, dict)
    images = {path.with_suffix("") for path in walk_images(folder)}
    alone = len(images - {path.with_suffix("") for path in folder.rglob("*.json")})
    beside = {path.parent for path in folder.rglob("*.json")} & {path.parent for path in images}
    if alone and beside:
        data["without_annotation"] = "skip"
        note = f"left out: {count_of(alone, 'image')} without a JSON file; if they show no objects, write "
        return Export("labelme", data, [f"{note}without_annotation: background"], has_val=has_val)
    return Export("labelme", data, has_val=has_val)


def _is_labelme(path: Path) -> bool:
    with suppress(DataError):
        return _json_kind(path) == "labelme"
    return False


def _refuse_others(folder: Path, files: Sequence[Path] = ()) -> None:
    """Raises DataError for exports without masks, with what to export instead."""
    inside = [folder, *folders_in(folder), *(inner for item in folders_in(folder) for inner in folders_in(item))]
    for place in inside if not files else ():
        files = [*files, *files_in(place, ".json", ".xml", ".yaml", ".yml", ".txt", ".csv", ".zip")[:_SAMPLED]]
    checks: list[tuple[Callable[[Path], bool], str]] = [
        (lambda file: file.suffix == ".zip", "is an archive; unpack it and write the path of the folder"),
        (
            lambda file: file.suffix == ".xml" and _xml_root(file) == "annotation",
            "is an export of bounding boxes (PASCAL VOC)",
        ),
        (_is_yolo, "is a YOLO export"),
        (_is_box_table, "is a table of bounding boxes"),
    ]
    for is_other, what in checks:
        for file in files:
            if is_other(file):
                advice = "" if "archive" in what else "; export the same data as COCO, with polygons or masks"
                raise DataError(f"{file}: {what}{advice}")
    for file in files:
        if file.suffix == ".json":
            _refuse_json(file, _json_kind(file))


def _head(file: Path) -> str:
    """The beginning of a file as text; empty if it cannot be read."""
    with suppress(OSError), open(file, "rb") as opened:
        return opened.read(_HEAD).decode("utf-8", "replace")
    return ""


def _is_box_table(file: Path) -> bool:
    return file.suffix == ".csv" and {"xmin", "ymax"} <= set(re.findall(r"\w+", _head(file).partition("\n")[0]))


def _is_yolo(file: Path) -> bool:
    """Whether a file is YOLO's data.yaml, or has a class and numbers from 0 to 1 in each line."""
    if file.suffix in (".yaml", ".yml"):
        return bool(re.search(r"^nc\s*:|^names\s*:", _head(file), re.MULTILINE))
    return file.suffix == ".txt" and bool(re.match(r"\d+( +[01]?\.\d+){4,}", _head(file)))
