"""Annotation files of CVAT: the XML of "CVAT for images 1.1", read as a stream.

The layout: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/, and what writes it,
cvat/apps/dataset_manager/formats/cvat.py of https://github.com/cvat-ai/cvat.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from segtrain.errors import DataError
from segtrain.files import require_regular

VERSION = "1.1"
CVAT_LINES = frozenset({"polyline", "points", "skeleton", "cuboid"})
"""Shapes that cover no area of an image."""

_AREAS = frozenset({"polygon", "box", "ellipse", "mask"})
_ASK = 'in CVAT, export the task as "CVAT for images 1.1"'
_OTHER_ROOTS = {
    "annotation": "is an XML file of boxes in PASCAL VOC format; boxes do not make masks: export polygons or masks "
    'as "CVAT for images 1.1" or COCO',
    "kml": "is a KML file; save the masks as GeoTIFF",
}
_LARGEST_BYTES = 4 << 30
_DEEPEST = 32
_PIECE = 1 << 20


class CvatShape(NamedTuple):
    """An object: its label, kind (polygon, box, ellipse, mask or one of CVAT_LINES), where it stands for messages, the
    outline as polygons.to_text takes it (None for lines), and its z_order: higher ones are on top."""

    label: str
    kind: str
    name: str
    outline: Any
    z_order: int


class CvatImage(NamedTuple):
    """An image: its name, the subset of a project that it is in (or ""), height and width, and its objects in the order
    of the file."""

    name: str
    subset: str
    size: tuple[int, int]
    shapes: list[CvatShape]


class CvatFile(NamedTuple):
    """The labels of a task, each with its color "#rrggbb" or "", and the images."""

    labels: dict[str, str]
    images: list[CvatImage]


def read_cvat(path: Path) -> CvatFile:
    """An annotations.xml. Raises DataError for what is not one, of another version, of a video, broken, or has a
    document type, whose entities may grow without end."""
    require_regular(path)
    reader = _Reader(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path}: is larger than {_LARGEST_BYTES >> 30} GiB; export the task in parts")
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                reader.parser.Parse(piece)
            reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        raise DataError(f"{path}:{error.lineno}: is not XML: {reason}; is the file complete?") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError) as error:  # of an encoding that is not known
        raise DataError(f"{path}: is not XML: {error}") from error
    if not reader.images:
        raise DataError(f"{path}: contains no images; {_ASK}, from a task that has images")
    return CvatFile(reader.labels, reader.images)


class _Reader:
    """The handlers of the parser, and what they have found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels: dict[str, str] = {}
        self.images: list[CvatImage] = []
        self._open: list[str] = []
        self._text = ""
        self._label: dict[str, str] = {}
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _fail(self, text: str) -> DataError:
        return DataError(f"{self.path}:{self.parser.CurrentLineNumber}: {text}")

    def _doctype(self, *_: Any) -> None:
        raise self._fail("has a DOCTYPE, which CVAT does not write; remove it")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._open and tag != "annotations":
            raise self._fail(_OTHER_ROOTS.get(tag, f"is not a CVAT file: it contains <{tag[:40]}>; {_ASK}"))
        if len(self._open) == _DEEPEST:
            raise self._fail("is nested too deeply")
        above = self._open[-1] if self._open else ""
        self._open.append(tag)
        self._text = ""
        if tag == "label" and above == "labels":
            self._label = {}
        elif tag == "track" and above == "annotations":
            raise self._fail(f'is an annotation of a video, "CVAT for video 1.1"; {_ASK}')
        elif tag == "image" and above == "annotations":
            self.images.append(self._image(attributes))
        elif above == "image" and tag in _AREAS | CVAT_LINES:
            self.images[-1].shapes.append(self._shape(tag, attributes))

    def _characters(self, text: str) -> None:
        if len(self._text) < 1000:  # names of labels; the SVG of a skeleton may be longer
            self._text += text

    def _end(self, tag: str) -> None:
        self._open.pop()
        text, above = self._text.strip(), self._open[-1] if self._open else ""
        self._text = ""
        if above == "label" and tag in ("name", "color", "parent"):
            self._label[tag] = text
        elif above == "labels" and tag == "label":
            if self._label.get("name") and not self._label.get("parent"):  # parts of skeletons have one
                self.labels[self._label["name"]] = self._label.get("color", "")
        elif above == "annotations" and tag == "version" and text != VERSION:
            raise self._fail(f"has version {text[:20]}, but {VERSION} is supported; {_ASK}")

    def _image(self, attributes: Mapping[str, str]) -> CvatImage:
        if not attributes.get("name"):
            raise self._fail(f"an image has no name; {_ASK}")
        size = [self._number(attributes, key, "image") for key in ("height", "width")]
        if any(side < 1 or side % 1 for side in size):
            raise self._fail(f"image {attributes['name']} has no size")
        return CvatImage(attributes["name"], attributes.get("subset", ""), (int(size[0]), int(size[1])), [])

    def _number(self, attributes: Mapping[str, str], key: str, what: str, default: str = "") -> float:
        text = attributes.get(key, default)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) < 1e9:
            raise self._fail(f"{what} has '{text[:40]}' as {key}, not a number")
        return number

    def _shape(self, tag: str, attributes: Mapping[str, str]) -> CvatShape:
        label = attributes.get("label", "")
        if not label:
            raise self._fail(f"a {tag} has no label")
        what = f"{tag} {len(self.images[-1].shapes) + 1} ({label})"
        z_order = int(self._number(attributes, "z_order", what, "0"))
        return CvatShape(label, tag, what, self._outline(tag, attributes, what), z_order)

    def _outline(self, tag: str, attributes: Mapping[str, str], what: str) -> Any:
        def numbers(*keys: str) -> list[float]:
            return [self._number(attributes, key, what) for key in keys]

        if tag in CVAT_LINES:
            return None
        turn = self._number(attributes, "rotation", what, "0")
        if tag == "mask":
            box = numbers("left", "top", "width", "height")
            return {"counts": attributes.get("rle", ""), "box": [int(number) for number in box]}
        if tag == "ellipse":
            return {"ellipse": [*numbers("cx", "cy", "rx", "ry"), turn]}
        if tag == "box":
            return [_turned(*numbers("xtl", "ytl", "xbr", "ybr"), turn)]
        pairs = [point.split(",") for point in attributes.get("points", "").split(";")]
        try:
            points = [float(number) for x, y in pairs for number in (x, y)]
        except ValueError as error:
            raise self._fail(f"{what} has points that are not pairs of x,y") from error
        if not all(abs(number) < 1e9 for number in points):
            raise self._fail(f"{what} has points that are not pairs of x,y")
        return [points]


def parse_color(text: str) -> tuple[int, int, int] | None:
    """The color of "#rrggbb"; None for anything else."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return None
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _turned(left: float, top: float, right: float, bottom: float, degrees: float) -> list[float]:
    """The corners of a rectangle [x, y, x, y, ..], turned clockwise around its middle."""
    x, y, turn = (left + right) / 2, (top + bottom) / 2, math.radians(degrees)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if not degrees:
        return [number for corner in corners for number in corner]
    turned = []
    for a, b in corners:
        turned += [
            x + (a - x) * math.cos(turn) - (b - y) * math.sin(turn),
            y + (a - x) * math.sin(turn) + (b - y) * math.cos(turn),
        ]
    return turned
