"""Polygons: objects with names and outlines (coco, labelme), drawn into a mask when it is read."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segtrain.errors import DataError, name_some
from segtrain.files import require_regular

if TYPE_CHECKING:
    import numpy as np

IGNORED_RAW = 65535  # the value of ignored pixels in what read_mask returns

_LONGEST_PX = 5_000_000  # of the outline of an object; pycocotools takes 160 bytes a pixel and ends the process without

NO_OUTLINE = "its segmentation is neither a list of polygons [x, y, x, y, ..] nor {counts, size}"


class Legend(NamedTuple):
    """Raw mask values: of each label, of pixels outside all objects, and of labels that no class claims (None: they are
    an error)."""

    values: dict[str, int]
    outside: int
    other: int | None


def read_legend(classes: Sequence[Any], *, unlabeled: str, other_labels: str) -> Legend:
    """A class's value is its index in the list, or 1 where it is the only one. Raises DataError where classes are
    values or colors, share a label, or leave no background for what has to be one."""
    binary = len(classes) == 1
    values: dict[str, int] = {}
    owners: dict[str, str] = {}
    for value, item in enumerate(classes, start=int(binary)):
        if (item.values or [value if item.value is None else item.value]) != [value] or item.colors:
            raise DataError(
                f"data.classes: '{item.name}' has values or colors, but annotation files contain names: remove them, "
                f"and write labels: [first, second] if the names in the files differ from the class name"
            )
        for label in item.labels or [item.name]:
            if owners.setdefault(label, item.name) != item.name:
                raise DataError(f"data.classes: '{owners[label]}' and '{item.name}' claim the same label '{label}'")
            values[label] = value
    names = [item.name for item in classes]
    background = 0 if binary else names.index("background") if "background" in names else None
    if background is None and "background" in (unlabeled, other_labels):
        key = "unlabeled" if unlabeled == "background" else "other_labels"
        raise DataError(
            f"data.classes: pixels {_WHERE[key]} would be background, but no class has that name; write classes: "
            f"[background, ...] or data.{key}: ignore"
        )
    kinds = {"background": background, "ignore": IGNORED_RAW, "error": None}
    return Legend(values, kinds[unlabeled], kinds[other_labels])


_WHERE = {"unlabeled": "outside all objects", "other_labels": "of other labels"}


def refuse_unclaimed(where: Path, labels: Counter[str], legend: Legend) -> None:
    """Raises DataError where there are labels, with the number of their objects, that no class of the legend claims."""
    if not labels:
        return
    listed = name_some([f"{label} ({count})" for label, count in labels.most_common()], most=6)
    objects = f"{labels.total()} object{'s' if labels.total() > 1 else ''}"
    ((first, _),) = labels.most_common(1)
    names = [first]
    for label in labels:
        if near := [name for name in legend.values if fold_name(name) == fold_name(label)]:
            names = [*near, label]  # car and Car are most likely one class
            break
    shown = ", ".join(map(_quoted_label, names))
    raise DataError(
        f"{where}: no class claims the labels of {objects}: {listed}; the classes claim: "
        f"{name_some([*legend.values], most=6)}; add them to classes, like {{name: .., labels: [{shown}]}}, or write "
        f"data.other_labels: background or ignore"
    )


def fold_name(label: str) -> str:
    """A label without what people write differently by accident: case, and spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()


def _quoted_label(label: str) -> str:
    """A label as it stands in a list of YAML."""
    if (
        not re.fullmatch(r"[^\W\d][\w -]*", label)
        or label.casefold() in ("true", "false", "null")
        or label != label.strip()
    ):
        return json.dumps(label, ensure_ascii=False)
    return label


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError for what is not JSON, with line and column."""
    require_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise DataError(f"{path}: is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: is not JSON: {error.msg} (column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not JSON: {error}") from error
    except ValueError as error:  # Python's limit
        raise DataError(f"{path}: contains a number with more than 4,300 digits") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def load_json(path: Path, what: str, *, lists: Sequence[str], texts: Sequence[str] = ()) -> dict[str, Any]:
    """An annotation file that has these keys. Raises DataError as read_json does, and where a key is missing or holds
    something else."""
    content = read_json(path)
    keys = [*lists, *texts]
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not {what}: it contains a {type(content).__name__} without {' and '.join(keys)}")
    missing = [key for key in keys if key not in content]
    if missing:
        there = ", ".join(content) or "none"
        raise DataError(f"{path}: is not {what}: it has no {' and no '.join(missing)}; its keys: {there}")
    for key in keys:
        if not isinstance(content[key], list if key in lists else str):
            raise DataError(f"{path}: is not {what}: {key} is not {'a list' if key in lists else 'a string'}")
    return content


def size_in(content: dict, height: str, width: str) -> tuple[int, int] | None:
    """Height and width under these keys; None where they are not both whole numbers."""
    size = content.get(height), content.get(width)
    return size if all(isinstance(side, int) for side in size) else None


def name_of(file: str) -> str:
    """The name of a sample after the path of its file, without suffix and without steps out of the dataset."""
    parts = os.path.splitext(file)[0].split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def to_text(
    path: Path,
    *,
    image: str,
    size: tuple[int, int] | None,
    outside: int,
    objects: Sequence[tuple[int, str, Any]],
    largest_first: bool,
    apart: bool = False,
) -> str:
    """Sample.mask of a drawing in the annotation file `path`: objects of value, name for messages, and outline, which
    is one of

    - a list of polygons [x, y, x, y, ..] in pixels from the upper left corner of the image;
    - {counts, size: [height, width]}: COCO's runs, a list or compressed;
    - {ellipse: [x, y, x radius, y radius, degrees]}, turned clockwise;
    - {bitmap: a PNG in base64, at: [x, y]}: its upper left pixel;
    - {counts: lengths as text, box: [left, top, width, height]}: pixels outside, inside, outside .. along the rows of a
      box, as CVAT has them;
    - {runs: start length .. as text, along: rows or columns}, counted from 1 over the whole image.

    With `apart`, objects of different values may not overlap.
    """
    drawing = {"image": image, "size": size, "outside": outside, "largest_first": largest_first, "apart": apart}
    drawing["objects"] = objects
    try:
        return f"{path}\t{json.dumps(drawing, separators=(',', ':'))}"
    except RecursionError as error:
        raise DataError(f"{path}: is nested too deeply") from error


def require_size(file: str, image: str, size: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of an image. Raises DataError where the annotation file says another."""
    from segtrain.images.reading import image_size

    height, width = image_size(image)
    if size is not None and tuple(size) != (height, width):
        hint = "; rotate the stored image as its EXIF orientation says" if tuple(size) == (width, height) else ""
        raise DataError(
            f"{file}: says that the image has {size[1]} x {size[0]} pixels, but {image} has {width} x {height}{hint}"
        )
    return height, width


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """HW uint16: the values of the objects that to_text was given, later ones over earlier ones (or small ones over
    large ones), and `outside` elsewhere. Pixels are those of pycocotools. Raises DataError, with file and object, for
    an outline that is broken or of another size than the image. There are no colors."""
    import numpy as np

    from segtrain.images import rle

    file, _, text = mask.partition("\t")
    try:
        drawing = json.loads(text)
    except RecursionError as error:
        raise DataError(f"{file}: is nested too deeply") from error
    height, width = require_size(file, drawing["image"], drawing["size"])
    drawn = []
    for value, name, outline in drawing["objects"]:
        try:
            drawn.append((value, _runs(outline, height, width), name))
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{file}: {name} of {os.path.basename(drawing['image'])}: {error}") from error
    if drawing["largest_first"]:
        drawn.sort(key=lambda item: -item[1][:, 1].sum())
    if drawing["apart"]:
        _require_apart(f"{file}: {os.path.basename(drawing['image'])}", drawn, height * width)
    pixels = np.full(height * width, drawing["outside"], np.uint16)
    for value, runs, _ in drawn:
        rle.fill(pixels, runs, value)
    return np.ascontiguousarray(pixels.reshape((height, width), order="F"))


def _require_apart(where: str, drawn: Sequence[tuple[int, "np.ndarray", str]], total: int) -> None:
    """Raises DataError, beginning with `where`, for objects of different values that share a pixel."""
    import numpy as np

    from segtrain.images import rle

    values, taken = list(dict.fromkeys(value for value, _, _ in drawn)), np.zeros(total, np.uint16)
    names = {value: name for value, _, name in reversed(drawn)}
    for index, value in enumerate(values if len(values) > 1 else (), start=1):
        own = np.zeros(total, bool)
        for runs in (runs for other, runs, _ in drawn if other == value):
            rle.fill(own, runs, True)
        if (others := taken[own]).any():
            first, count = values[others[others > 0][0] - 1], np.count_nonzero(others)
            both = f"{names[first]} and {names[value]}"
            raise DataError(
                f"{where}: {both} share {count} pixels, but a pixel has one class here: remove one of them from "
                f"data.classes, or write data.overlaps: later to let the later row win"
            )
        taken[own] = index


def _runs(outline: Any, height: int, width: int) -> "np.ndarray":
    from segtrain.images import rle

    if isinstance(outline, list):
        return _polygon_runs(outline, height, width)
    if not isinstance(outline, dict):
        raise ValueError(NO_OUTLINE)
    if "ellipse" in outline:
        return _ellipse_runs(outline["ellipse"], height, width)
    if "bitmap" in outline:
        return _bitmap_runs(outline["bitmap"], outline["at"], height, width)
    if "box" in outline:
        return _boxed_runs(outline["counts"], outline["box"], height, width)
    if "runs" in outline:
        runs = rle.parse_runs(outline["runs"], height, width)
        return runs if outline["along"] == "columns" else rle.turn_runs(runs, height, width)
    if not isinstance(outline.get("counts"), str | list) or "size" not in outline:
        raise ValueError(NO_OUTLINE)
    if outline["size"] != [height, width]:
        raise ValueError(f"its size is {outline['size']}, but the image is [{height}, {width}]")
    return rle.runs_of_counts(outline["counts"], height, width)


def _polygon_runs(polygons: list, height: int, width: int) -> "np.ndarray":
    """Polygons of fewer than three points cover nothing and are left out."""
    import numpy as np
    from pycocotools import mask

    from segtrain.images import rle

    far = 2 * max(height, width)
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(isinstance(number, int | float) for number in polygon):
            raise ValueError(NO_OUTLINE)
        if len(polygon) % 2:
            raise ValueError(f"a polygon has {len(polygon)} numbers, which are not pairs of x and y")
        wrong = [number for number in polygon if not -far <= number <= far]  # pycocotools would not survive them
        if wrong:
            raise ValueError(f"a point at {wrong[0]} is far outside the image, {width} x {height}")
    if 2 * far * sum(map(len, polygons)) > _LONGEST_PX:
        length = sum(abs(polygon[i] - polygon[i - 2]) for polygon in polygons for i in range(len(polygon)))
        if length > _LONGEST_PX:
            raise ValueError(f"its outline is {length:,.0f} pixels long; at most {_LONGEST_PX:,} are supported")
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]
    if not polygons:
        return np.zeros((0, 2), np.int64)
    merged = mask.merge(mask.frPyObjects(polygons, height, width))
    return rle.runs_of_counts(merged["counts"].decode("ascii"), height, width)


def _ellipse_runs(ellipse: Sequence[float], height: int, width: int) -> "np.ndarray":
    """Pixels whose center is in the ellipse."""
    import numpy as np

    from segtrain.images import rle

    x, y, across, down, degrees = ellipse
    if min(across, down) <= 0:
        return np.zeros((0, 2), np.int64)
    rows, columns = np.ogrid[:height, :width]
    right, below, turn = columns + 0.5 - x, rows + 0.5 - y, np.deg2rad(degrees)
    along, beside = right * np.cos(turn) + below * np.sin(turn), below * np.cos(turn) - right * np.sin(turn)
    return rle.find_runs((along * down) ** 2 + (beside * across) ** 2 <= (across * down) ** 2)


def _boxed_runs(counts: str, box: Sequence[int], height: int, width: int) -> "np.ndarray":
    """Counts of CVAT; pixels behind the last of them are outside."""
    import numpy as np

    from segtrain.images import rle

    left, top, across, down = box
    if left < 0 or top < 0 or across < 1 or down < 1 or left + across > width or top + down > height:
        raise ValueError(f"its box, {across} x {down} at {left}, {top}, extends beyond the image, {width} x {height}")
    words = counts.replace(",", " ").split()
    lengths = np.array(
        [int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 10], np.int64
    )
    if len(lengths) < len(words):
        raise ValueError("its rle contains something other than pixel counts")
    if lengths.sum() > across * down:
        raise ValueError(f"its rle adds up to {lengths.sum()} pixels, but its box has {across * down}")
    patch = np.zeros(across * down, bool)
    ends = lengths.cumsum()
    rle.fill(patch, np.stack([ends[: len(ends) // 2 * 2 : 2], lengths[1::2]], axis=1), True)
    return rle.find_patch_runs(patch.reshape(down, across), left, top, height, width)


def _bitmap_runs(bitmap: str, at: Sequence[float], height: int, width: int) -> "np.ndarray":
    import base64
    import io

    import numpy as np
    from PIL import Image, UnidentifiedImageError

    from segtrain.images import rle
    from segtrain.images.reading import TYPES

    try:
        with Image.open(io.BytesIO(base64.b64decode(bitmap)), formats=TYPES) as picture:
            patch = np.asarray(picture.convert("L")) > 0
    except UnidentifiedImageError as error:
        raise ValueError("its mask is not an image of a supported type") from error
    except Exception as error:  # whatever Pillow raises for a broken file
        raise ValueError(f"its mask cannot be read: {error}") from error
    return rle.find_patch_runs(patch, round(at[0]), round(at[1]), height, width)
