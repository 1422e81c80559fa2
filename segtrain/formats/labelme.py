"""labelme: a JSON file of outlines for each image. Kentaro Wada, https://github.com/wkentaro/labelme."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from segtrain.errors import DataError, count_of, name_some
from segtrain.formats import polygons
from segtrain.formats.sample import (
    IMAGE_SUFFIXES,
    Label,
    Sample,
    SampleTable,
    Splits,
    hold_out,
    require_layout,
)

LINES = ("line", "linestrip", "point", "points")

read_mask = polygons.read_mask


def read(
    root: Path,
    *,
    annotations: str | dict[str, str] = {"train": "train", "val": "val"},  # noqa: B006 (never changed)
    lines: Literal["error", "skip"] = "error",
    without_annotation: Literal["error", "background", "skip"] = "error",
    unlabeled: Literal["background", "ignore"] = "background",
    other_labels: Literal["error", "background", "ignore"] = "error",
    val_fraction: float | None = None,
    classes: Sequence[Any],
    seed: int = 0,
) -> Splits:
    """JSON files of labelme 4 and 5 in one folder for each split, or in one folder for all. `val_fraction` of the
    single folder (0.2 by default), or of train if there is no val, is held out for validation. An image is at the path
    in its file or next to that file. A class consists of the shapes with one of its `labels`, by default its own name.

    Polygons, rectangles, circles and masks are drawn in the order of the file, later ones over earlier ones. `lines`:
    whether lines and points, which cover no area, are an error or skipped. `without_annotation`: whether images without
    a JSON file next to annotated ones are background or left out (labelme writes no file for an image without shapes).
    `unlabeled`: whether pixels outside all shapes are the class named background (0 in a binary task) or ignored.
    `other_labels`: what to do with shapes that no class claims.

    Raises DataError for a shape of another type, and for an image that is missing, is in two files, or has another size
    than its file says.
    """
    legend = polygons.read_legend(classes, unlabeled=unlabeled, other_labels=other_labels)
    folders = {"": annotations} if isinstance(annotations, str) else annotations
    if isinstance(annotations, dict) and "train" not in annotations:
        raise DataError("data.annotations: write a folder, or {train: folder, val: folder}")
    require_layout(root, list(folders.values()))
    splits = {
        split: [_annotated(path, skip_lines=lines == "skip") for path in _json_files(root / folder)]
        for split, folder in folders.items()
    }
    for split, annotated in splits.items():
        labels = Counter(label for item in annotated for label, _, _ in item.shapes if label not in legend.values)
        if legend.other is None:
            polygons.refuse_unclaimed(root / folders[split], labels, legend)
    for split, names in _without_annotation(splits).items():
        if names and without_annotation == "error":
            raise DataError(
                f"{root / folders[split]}: {len(names)} images next to annotated ones have no JSON file: "
                f"{name_some(names)}; write data.without_annotation: background if they contain nothing, or skip to "
                f"leave them out"
            )
        if without_annotation == "background":
            splits[split] += [_Annotated(Path(name), name, None, []) for name in names]
    tables = {split: _table(root / folders[split], annotated, legend) for split, annotated in splits.items()}
    return hold_out(tables, val_fraction, seed)


def find_labels(root: Path, *, annotations: str | dict[str, str]) -> list[Label]:
    """The labels of all shapes that cover an area, in the order of their names. Raises DataError as read does."""
    folders = annotations.values() if isinstance(annotations, dict) else [annotations]
    counts: Counter[tuple[str, bool]] = Counter()
    for path in (path for folder in folders for path in _json_files(root / folder)):
        annotated = _annotated(path, skip_lines=True)
        counts.update((label, True) for label, _, _ in annotated.shapes)
        counts.update((label, False) for label in annotated.lines)
    return [Label(n, counts[n, True], None, counts[n, False]) for n in sorted({name for name, _ in counts})]


class _Annotated(NamedTuple):
    path: Path
    """The JSON file, or the image where it has none."""
    image: str
    size: tuple[int, int] | None
    shapes: list[tuple[str, str, Any]]
    """Label, name for messages, outline."""
    lines: Sequence[str] = ()
    """Labels of the shapes that were skipped."""


def _json_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("[!.]*.json") if path.is_file())
    if not paths:
        raise DataError(f"{folder}: contains no labelme .json files")
    return paths


def _annotated(path: Path, *, skip_lines: bool) -> _Annotated:
    content = polygons.load_json(path, "a labelme file", lists=["shapes"], texts=["imagePath"])
    shapes, lines = [], []
    for index, shape in enumerate(content["shapes"]):
        if not isinstance(shape, dict) or shape.get("label") is None or "points" not in shape:
            raise DataError(f"{path}: shapes[{index}] has no label or no points")
        kind, what = shape.get("shape_type") or "polygon", f"shape {index + 1} ({shape['label']})"
        if kind in LINES and skip_lines:
            lines.append(str(shape["label"]))
            continue
        try:
            shapes.append((str(shape["label"]), what, _outline(kind, shape)))
        except ValueError as error:
            raise DataError(f"{path}: {what}: {error}") from error
    size = polygons.size_in(content, "imageHeight", "imageWidth")
    return _Annotated(path, _image_of(path, content), size, shapes, lines)


def _outline(kind: str, shape: dict) -> Any:
    """A shape as polygons.to_text takes it. Raises ValueError for one that is broken or covers no area."""
    try:
        points = [(float(x), float(y)) for x, y in shape["points"]]
    except (ValueError, TypeError) as error:
        raise ValueError("its points are not pairs of x and y") from error
    if kind in LINES:
        raise ValueError(f"is a {kind}, which does not cover an area; draw a polygon, or write data.lines: skip")
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind in ("polygon", "rectangle", "oriented_rectangle"):
        return [[number for point in points for number in point]]
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = ((edge_x - x) ** 2 + (edge_y - y) ** 2) ** 0.5
        return {"ellipse": [x, y, radius, radius, 0]}
    if kind == "mask" and isinstance(shape.get("mask"), str) and points:
        return {"bitmap": shape["mask"], "at": points[0]}
    raise ValueError(
        f"a {kind} with {len(points)} points is not a supported shape; use polygon, rectangle, oriented_rectangle, "
        f"circle or mask"
    )


def _image_of(path: Path, content: dict) -> str:
    written = content["imagePath"].replace("\\", "/")
    named, beside = os.path.normpath(path.parent / written), str(path.parent / written.rpartition("/")[2])
    found = next(filter(os.path.isfile, (named, beside)), None)
    if found is None and content.get("imageData"):
        code = (
            "import base64, json; d = json.load(open({!r})); open({!r}, 'wb').write(base64.b64decode(d['imageData']))"
        )
        command = code.format(str(path), beside)
        raise DataError(
            f"{path}: image {named} does not exist; the file contains it as imageData; to extract it: python -c "
            f'"{command}"'
        )
    if found is None:
        raise DataError(f"{path}: image {named} does not exist, nor does {beside}")
    return found


def _without_annotation(splits: Mapping[str, Sequence[_Annotated]]) -> dict[str, list[str]]:
    """Images of each split that have no file. Raises DataError where images are in two files, and where such an image
    lies in a folder of two splits, so that nothing says which of them it is in."""
    owners: dict[str, Path] = {}
    folders: dict[str, str] = {}
    shared = set()
    for split, annotated in splits.items():
        for item in annotated:
            first = owners.setdefault(item.image, item.path)
            if first != item.path:
                raise DataError(f"{item.path}: image {item.image} already belongs to {first}; remove one of them")
            folder = os.path.dirname(item.image)
            if folders.setdefault(folder, split) != split:
                shared.add(folder)
    found: dict[str, list[str]] = {split: [] for split in splits}
    for folder, split in folders.items():
        names = [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
        alone = [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and name not in owners]
        if alone and folder in shared:
            raise DataError(
                f"{folder}: {count_of(len(alone), 'image', 'has')} no JSON file, for example {alone[0]}, and the "
                "folder belongs to several splits; remove them"
            )
        found[split] += alone
    return found


def _table(folder: Path, annotated: Sequence[_Annotated], legend: polygons.Legend) -> SampleTable:
    rows: dict[str, Sample] = {}
    for item in annotated:
        name = polygons.name_of(os.path.relpath(item.path, folder))
        if name in rows:
            raise DataError(f"{item.path}: another sample already has the name {name}; rename one of them")
        objects = [(legend.values.get(label, legend.other), what, outline) for label, what, outline in item.shapes]
        mask = polygons.to_text(
            item.path,
            image=item.image,
            size=item.size,
            outside=legend.outside,
            objects=objects,
            largest_first=False,
        )
        rows[name] = Sample(name, item.image, mask)
    return SampleTable(rows.values())
