"""CVAT: predictions as "CVAT for images 1.1", https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/.

A region is written as a mask, which CVAT's brush can edit; CVAT's polygons have no holes. The reader is `load_anno` in
cvat/apps/dataset_manager/formats/cvat.py, which looks images up by their names in the task.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np

from segtrain.commands.predict.polygons import classes_drawn
from segtrain.commands.predict.result import Result
from segtrain.errors import DataError
from segtrain.files import explained_write, replacing, write_whole
from segtrain.inference.task import Task
from segtrain.visualize import show_color

CVAT_FILE = "annotations.xml"
CVAT_LABELS = "cvat_labels.json"

# If no image in a task has the name, CVAT uses the frame with this number. No task has so many frames, so it reports an
# error instead of using a wrong image.
FIRST_IMAGE_ID = 10_000_000

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def require_xml(text: str, *, what: str) -> None:
    """Raises DataError for characters that are not allowed in XML."""
    if found := _NOT_IN_XML.search(text):
        raise DataError(f"{what}: contains the character {found[0]!a}, which is not allowed in XML; rename it")


def class_colors(task: Task) -> dict[str, str]:
    """The names of the classes that are drawn, and their colors as #rrggbb. Raises DataError for a name that is not
    allowed in XML."""
    for name in task.names:
        require_xml(name, what=f"the class {name!a}")
    return {name: show_color(task.name_colors[index]) for index, name in classes_drawn(task).items()}


def count_runs(pixels: np.ndarray) -> list[int]:
    """The run lengths of a mask, bool HW, row by row: outside, inside, outside and so on; the first may be 0."""
    flat = pixels.ravel()
    bounds = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    runs = [end - start for start, end in pairwise(bounds)]
    return [0, *runs] if flat[0] else runs


class CvatTable:
    """annotations.xml, which is written image by image in the context of `writing`, and cvat_labels.json with the
    labels that the task needs."""

    files = (CVAT_FILE, CVAT_LABELS)

    def __init__(self, output: Path, task: Task):
        self.path = output / CVAT_FILE
        self._labels = class_colors(task)
        self._names = classes_drawn(task)
        self._count = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the files; they get their names when the block ends without an error. Raises DataError if one cannot be
        written."""
        labels = [{"name": name, "color": color, "attributes": []} for name, color in self._labels.items()]
        items = "".join(
            f"<label><name>{escape(name)}</name><color>{color}</color><attributes/></label>\n"
            for name, color in self._labels.items()
        )
        temporary = replacing(self.path)
        with explained_write(self.path), temporary as path, path.open("w", encoding="utf-8") as self._file:
            self._file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
            self._file.write(f"<meta><task><labels>\n{items}</labels></task></meta>\n")
            yield
            self._file.write("</annotations>\n")
        write_whole(self.path.with_name(CVAT_LABELS), json.dumps(labels, ensure_ascii=False, indent=1) + "\n")

    def take(self, result: Result) -> tuple[str, str]:
        """The attributes and masks of an image, for `add`. May be called from any thread."""
        height, width = result.size
        masks = "".join(self._draw(result))
        return f'name={quoteattr(result.file_name)} width="{width}" height="{height}"', masks

    def _draw(self, result: Result) -> Iterator[str]:
        for index, name in self._names.items():
            layer = np.ascontiguousarray(result.layer(index)).view(np.uint8)
            count, parts, boxes, _ = cv2.connectedComponentsWithStats(layer, connectivity=4, ltype=cv2.CV_32S)
            for part, (left, top, width, height, _) in enumerate(boxes[1:count].tolist(), start=1):
                runs = count_runs(parts[top : top + height, left : left + width] == part)
                box = f'left="{left}" top="{top}" width="{width}" height="{height}"'
                what = f'<mask label={quoteattr(name)} source="auto" occluded="0" z_order="0"'
                yield f'{what} rle="{",".join(map(str, runs))}" {box}></mask>\n'

    def add(self, taken: tuple[str, str]) -> None:
        """Add what `take` returned."""
        attributes, masks = taken
        with explained_write(self.path):
            self._file.write(f'<image id="{FIRST_IMAGE_ID + self._count}" {attributes}>\n{masks}</image>\n')
        self._count += 1
