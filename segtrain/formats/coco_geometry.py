"""Geometry of COCO's objects: whether outlines are in pixels of their images, as bbox, area and the image itself tell.

Only what is far off in most objects is refused: published files have boxes that are missing, 0, rounded, loose or
written in another way, and areas in other units.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.errors import DataError

Box = tuple[float, float, float, float]  # left, top, right, bottom

LOOKED_AT = 200  # objects of a file, unless all are
SCALES = {100: "percent", 1000: "thousandths"}
_LIKELY = {
    "relative": "coordinates relative to the image size (0 to 1)",
    "percent": "coordinates in percent of the image size",
    "thousandths": "coordinates in thousandths of the image size",
    "size": "coordinates for an image of another size",
    "exchanged": "x and y swapped",
    "corner": "coordinates counted from the corner of the bbox",
    "upside down": "y counted from the bottom",
    "rows": "run lengths along rows, but COCO counts down columns (encode the mask in Fortran order)",
    "elsewhere": "a segmentation of another image or object",
}


class CocoImage(NamedTuple):
    """An image of a file: name of the sample, path, and height and width where the file has them."""

    name: str
    file: str
    size: tuple[int, int] | None


class _Seen(NamedTuple):
    name: str
    record: dict[str, Any]
    image: str
    size: tuple[int, int]
    box: Box
    fault: str = ""


def name_object(record: Any, index: int) -> str:
    """An object as messages name it, by its id or else its place in the file."""
    return f"annotation {record['id']}" if isinstance(record, dict) and "id" in record else f"annotations[{index}]"


def check_geometry(
    path: Path, records: Sequence[dict], pictures: Mapping[Any, CocoImage], *, notes: list[str], thorough: bool
) -> None:
    """Look at some of a file's objects, or at all of them; those that are not where their bbox says are counted in the
    notes where they are few. Raises DataError where most have one fault, with what it likely is."""
    seen = list(_look_at(records, pictures, step=1 if thorough else max(1, len(records) // LOOKED_AT)))
    faults = Counter(item.fault for item in seen if item.fault)
    fault, count = faults.most_common(1)[0] if faults else ("", 0)
    if 2 * count > len(seen):
        raise DataError(_describe(path, next(item for item in seen if item.fault == fault), count, len(seen)))
    beyond, fault = _find_beyond(seen)
    if beyond:
        raise DataError(_describe(path, beyond[0]._replace(fault=fault), len(beyond), len(seen)))
    apart = [item for item in seen if item.fault not in ("", "relative")]
    if apart:
        found = f"{len(apart)} of {len(seen)} objects are not where their bbox says"
        notes.append(f"{path}: {found}, for example {apart[0].name}: {_LIKELY[apart[0].fault]}?")


def _look_at(records: Sequence[dict], pictures: Mapping[Any, CocoImage], *, step: int) -> Iterator[_Seen]:
    from segtrain.images.reading import image_size

    sizes: dict[str, tuple[int, int] | None] = {}
    for index in range(0, len(records), step):
        record, picture = records[index], pictures[records[index]["image_id"]]
        if picture.file not in sizes:
            sizes[picture.file] = picture.size
            with suppress(DataError):  # reading the mask tells
                sizes[picture.file] = picture.size or image_size(picture.file)
        box, size = _box_of(record["segmentation"]), sizes[picture.file]
        if box is not None and size is not None and all(0 < side < 1e9 for side in size):
            item = _Seen(name_object(record, index), record, picture.file, size, box)
            yield item._replace(fault=_fault_of(item))


def _describe(path: Path, item: _Seen, count: int, total: int) -> str:
    height, width = item.size
    bbox = _numbers(item.record.get("bbox"))
    against = f"in an image of {width} x {height} pixels"
    if bbox:
        against += f" with the bbox [{', '.join(f'{number:.4g}' for number in bbox)}]"
    left, top, right, bottom = (f"{number:.4g}" for number in item.box)
    return (
        f"{path}: {item.name} spans x {left} to {right} and y {top} to {bottom} {against}, like {count} of {total} "
        f"objects; expected pixels from the upper left corner, most likely found {_LIKELY[item.fault]}; export them "
        f"in pixels of these images"
    )


def _numbers(values: Any) -> list[float] | None:
    """Four finite numbers of a list; else None."""
    if not isinstance(values, list) or len(values) != 4:
        return None
    return values if all(isinstance(v, int | float) and abs(v) < 1e9 for v in values) else None


def _box_of(outline: Any) -> Box | None:
    """The extent of an outline; None where it is empty or broken, which reading its mask tells."""
    try:
        if isinstance(outline, dict):
            return _box_of_runs(_runs_of(outline), outline["size"][0])
        parts = [part for part in outline if len(part) >= 6]
        columns, rows = [x for part in parts for x in part[::2]], [y for part in parts for y in part[1::2]]
        box = min(columns), min(rows), max(columns), max(rows)
        return box if all(abs(side) < 1e9 for side in box) else None
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _runs_of(outline: dict) -> Any:
    from segtrain.images import rle

    height, width = outline["size"]
    runs = rle.runs_of_counts(outline["counts"], height, width)
    return runs[runs[:, 1] > 0]


def _box_of_runs(runs: Any, height: int) -> Box | None:
    """The extent of runs down columns of this height."""
    if not len(runs):
        return None
    first, last = runs[:, 0], runs.sum(axis=1) - 1
    whole = bool((first // height != last // height).any())
    top, bottom = (0, height) if whole else (int((first % height).min()), int((last % height).max()) + 1)
    return int(first.min()) // height, top, int(last.max()) // height + 1, bottom


def _overlap(a: Box, b: Box) -> tuple[float, float]:
    """Intersection by union, and by the smaller of the two; lines are a pixel wide."""
    a, b = ((x, y, max(right, x + 1), max(bottom, y + 1)) for x, y, right, bottom in (a, b))
    common = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (a, b)]
    return common / (sum(areas) - common), common / min(areas)


def _readings(bbox: Sequence[float], width: int, height: int) -> list[Box]:
    """What a bbox may mean, COCO's own way first: a corner and a size, two corners, or a middle and a size; in pixels,
    or as shares of the image."""
    x, y, w, h = bbox
    boxes = [(x, y, x + w, y + h), (x, y, w, h), (x - w / 2, y - h / 2, x + w / 2, y + h / 2)]
    scales = [(1, 1), (width, height), *((width / full, height / full) for full in SCALES)]
    return [(a * sx, b * sy, c * sx, d * sy) for sx, sy in scales for a, b, c, d in boxes]


def _fault_of(item: _Seen) -> str:
    """A key of _LIKELY where an outline is not in pixels of its image; empty where nothing says so."""
    (height, width), outline, box = item.size, item.record["segmentation"], item.box
    left, top, right, bottom = box
    if isinstance(outline, list) and left >= 0 and top >= 0 and right <= 1.01 and bottom <= 1.01:
        return "relative" if min(height, width) > 4 else ""
    if isinstance(outline, dict) and lie_along_rows(_runs_of(outline), height, width):
        return "rows"
    bbox, ratio = _numbers(item.record.get("bbox")), _drawn_by_area(item)
    area_agrees = 0.7 < ratio < 1.4  # published files have any bbox beside the right polygons
    if bbox is None or min(bbox[2:]) <= 0:
        scales = ((name, (height / full) * (width / full)) for full, name in SCALES.items())
        by_area = (name for name, scale in scales if math.isclose(ratio * scale, 1, rel_tol=0.15))
        return "" if area_agrees else next(by_area, "")
    readings = _readings(bbox, width, height)
    if any(_overlap(box, reading)[0] > 0.5 for reading in readings):
        return ""
    own = readings[0]
    if isinstance(outline, list):
        sx, sy = (own[2] - own[0]) / max(right - left, 1e-9), (own[3] - own[1]) / max(bottom - top, 1e-9)
        if _overlap(own, (left * sx, top * sy, right * sx, bottom * sy))[0] > 0.8:
            for full, name in SCALES.items():
                if math.isclose(width / sx, full, rel_tol=0.05) and math.isclose(height / sy, full, rel_tol=0.05):
                    return name
            fits = own[2] <= 1.05 * width and own[3] <= 1.05 * height
            return "size" if fits and max(sx, sy) > 1.25 and not area_agrees else ""
    if isinstance(outline, dict) and height == width and _overlap(own, (top, left, bottom, right))[0] > 0.8:
        return "rows"
    moved = {"upside down": (left, height - bottom, right, height - top)}
    moved["corner"] = (left + own[0], top + own[1], right + own[0], bottom + own[1])
    name = next((name for name, other in moved.items() if _overlap(own, other)[0] > 0.8), "")
    apart = not area_agrees and all(_overlap(box, reading)[1] < 0.1 for reading in readings)
    return name or ("elsewhere" if apart else "")


def _drawn_by_area(item: _Seen) -> float:
    """The area of an outline by what the record says; nan where that says nothing."""
    area, outline = item.record.get("area"), item.record["segmentation"]
    if not isinstance(area, int | float) or not 0 < area < 1e12:
        return math.nan
    if isinstance(outline, dict):
        return float(_runs_of(outline)[:, 1].sum() / area)
    return sum(_shoelace(part[::2], part[1::2]) for part in outline if len(part) >= 6) / area


def _shoelace(x: Sequence[float], y: Sequence[float]) -> float:
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(min(len(x), len(y))))) / 2


def lie_along_rows(runs: Any, height: int, width: int) -> bool:
    """Whether the neighbors of pixels inside are inside where runs, as rle.find_runs has them, go along rows, and are
    not where they go down columns: in an image that is not square, runs read the wrong way are scattered."""
    import numpy as np

    bounds = np.concatenate([[-1.0], np.stack([runs[:, 0], runs.sum(axis=1)], axis=1).ravel()])
    inside = np.cumsum(runs[:, 1])
    below = np.concatenate([[0.0], np.stack([inside - runs[:, 1], inside], axis=1).ravel()])  # inside before each bound

    def share(step: int) -> float:
        ends = np.interp(runs.sum(axis=1) + step, bounds, below) - np.interp(runs[:, 0] + step, bounds, below)
        return float(ends.sum() / inside[-1])

    return len(runs) > 2 and share(width) > 0.5 and share(height) < 0.5 * share(width)


def _find_beyond(seen: Sequence[_Seen]) -> tuple[list[_Seen], str]:
    """Objects that show that the coordinates of all are of another scale: far beyond the image to the right or below
    with none beyond the other sides, or all in the first 100 (1,000) pixels and up to their ends. And the fault."""
    drawn = [item for item in seen if isinstance(item.record["segmentation"], list)]
    if not drawn or min(min(item.box[:2]) for item in drawn) < -1:
        return [], ""
    reach = [max(item.box[side] for item in drawn) for side in (2, 3)]
    full = next((full for full in SCALES if all(0.97 * full <= end <= 1.005 * full for end in reach)), 0)
    small = full and all(min(item.size) >= 1.5 * full for item in drawn)
    if small and len(drawn) >= 20 and len({item.image for item in drawn}) >= 5:
        return drawn, SCALES[full]
    turned = all(item.box[2 + axis] <= item.size[axis] + 2 for item in drawn for axis in (0, 1))
    end, one_in = (1.02, 10) if turned else (1.1, 5)
    far = [item for item in drawn if any(item.box[3 - axis] > end * item.size[axis] + 2 for axis in (0, 1))]
    if len(far) < 3 or one_in * len(far) < len(drawn):
        return [], ""
    fits = (name for full, name in SCALES.items() if min(reach) > 0.75 * full and max(reach) <= 1.005 * full)
    return far, "exchanged" if turned else next(fits, "size")
