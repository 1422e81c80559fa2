"""Label Studio: a task with a prediction for each image, https://labelstud.io/guide/predictions.

Each class is one brush region. Its run lengths are exact, unlike polygons, whose points are percentages of the image
size. They have the format of @thi.ng/rle-pack, as `label_studio_sdk.converter.brush` writes it: red, green, blue and
alpha of each pixel, row by row.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from segtrain.commands.predict.cvat import class_colors
from segtrain.commands.predict.polygons import classes_drawn
from segtrain.commands.predict.result import Result
from segtrain.files import explained_write, replacing, write_whole
from segtrain.inference.task import Task

TASKS = "labelstudio.json"
LABELING = "labelstudio.xml"
LOCAL_FILES = "/data/local-files/?d="
CONTROL, SUBJECT = "label", "image"  # names in the labeling configuration

_RUN_BITS = (3, 4, 8, 16)  # of a run's length, chosen for each run
_LONGEST = 1 << _RUN_BITS[-1]


def encode_brush(mask: np.ndarray) -> list[int]:
    """The run lengths of a mask HW (inside is not 0), as bytes 0..255.

    The header has 32 bits for the number of values, 5 bits for the bits per value minus 1, and four times 4 bits for
    the four possible widths of a run length, minus 1. Each run has a bit that is 1, two bits that choose the width, the
    length minus 1, and the value in 8 bits, 0 or 255."""
    flat = mask.ravel() != 0
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths, values = 4 * np.diff(starts, append=flat.size), flat[starts] * 255
    pieces = -(-lengths // _LONGEST)
    last = np.cumsum(pieces) - 1
    values, parts = np.repeat(values, pieces), np.full(pieces.sum(), _LONGEST)
    parts[last] = lengths - (pieces - 1) * _LONGEST
    choice = np.searchsorted([1 << bits for bits in _RUN_BITS[:-1]], parts)
    bits = np.array(_RUN_BITS)[choice]
    words = ((((4 | choice) << bits) | (parts - 1)) << 8) | values
    header = f"{4 * flat.size:032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in _RUN_BITS)
    spread = np.unpackbits(words.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1).astype(bool)
    used = spread[np.arange(32) >= 32 - (3 + bits + 8)[:, None]]
    return np.packbits(np.concatenate([np.array(list(header)) == "1", used])).tolist()


def address_of(result: Result, prefix: str | None) -> str:
    """Where Label Studio finds an image: the prefix and the image's path below the input folder. Without a prefix it is
    a path of Label Studio's local files, whose root is the parent of the input folder."""
    name = result.file_name
    if prefix is None:
        folder = Path(os.path.abspath(result.path)).parents[len(result.name.parts) - 1].name
        prefix, name = LOCAL_FILES, f"{folder}/{name}"
    is_address = prefix.startswith(("http:", "https:", "/"))  # others, like s3://, are not URL-encoded
    return prefix + (quote(os.fsencode(name)) if is_address else name)


class LabelStudioFile:
    """labelstudio.json, which is written image by image in the context of `writing`, and labelstudio.xml, the labeling
    configuration that the project needs. `model` is the version of the predictions; for `prefix` see address_of."""

    files = (TASKS, LABELING)

    def __init__(self, output: Path, task: Task, *, model: str, prefix: str | None):
        self.path = output / TASKS
        self._model, self._prefix = model, prefix
        self._names, self._colors = classes_drawn(task), class_colors(task)
        self._count = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the files; they get their names when the block ends without an error. Raises DataError if one cannot be
        written."""
        temporary = replacing(self.path)
        with explained_write(self.path), temporary as path, path.open("w", encoding="utf-8") as self._file:
            self._file.write("[")
            yield
            self._file.write("\n]\n")
        labels = "".join(
            f'    <Label value={quoteattr(name)} background="{color}"/>\n' for name, color in self._colors.items()
        )
        write_whole(
            self.path.with_name(LABELING),
            f'<View>\n  <Image name="{SUBJECT}" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="{CONTROL}" toName="{SUBJECT}">\n{labels}  </BrushLabels>\n</View>\n',
        )

    def take(self, result: Result) -> str:
        """The task of an image, for `add`. May be called from any thread. If uncertainty is measured, the task has a
        score, by which Label Studio can sort: 1 minus the uncertainty."""
        prediction = {"model_version": self._model, "result": list(self._regions(result))}
        if result.uncertainty is not None:
            prediction["score"] = round(1 - result.uncertainty.entropy, 6)
        task = {"data": {"image": address_of(result, self._prefix)}, "predictions": [prediction]}
        return json.dumps(task, separators=(",", ":"))

    def _regions(self, result: Result) -> Iterator[dict[str, Any]]:
        height, width = result.size
        for index, name in self._names.items():
            layer = result.layer(index)
            if layer.any():
                yield {
                    "id": f"class{index}",
                    "type": "brushlabels",
                    "from_name": CONTROL,
                    "to_name": SUBJECT,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": encode_brush(layer), "brushlabels": [name]},
                }

    def add(self, taken: str) -> None:
        """Add what `take` returned."""
        with explained_write(self.path):
            self._file.write(("\n" if self._count == 0 else ",\n") + taken)
        self._count += 1
