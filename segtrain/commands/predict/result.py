"""A predicted image, and the files that show it alone."""

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from segtrain.commands.predict.encode import encode_indices, encode_jpeg, encode_picture
from segtrain.commands.predict.polygons import build_geojson
from segtrain.files import write_whole
from segtrain.inference.task import Task
from segtrain.visualize import flatten_layers, overlay, to_rgb

PALETTE_SIZE = 256


@dataclass(frozen=True)
class Result:
    """A predicted image.

    `path` is the file that it comes from, `name` what is written for it, below the output folder and without suffix,
    `file_name` what tables call it. `image` is HWC as read_image gives it. `labels` are HW class indices, or in
    multilabel CHW layers of 0 and 1, uint8 where the classes fit in and int32 elsewhere. `probabilities` are
    (task.outputs, H, W) float32, None where nobody asked for them.
    """

    path: Path
    name: Path
    file_name: str
    task: Task
    image: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[-2], self.labels.shape[-1]

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of the pixels that each of task.names has, (classes,) float64; in multilabel they may add up to more
        or less than 1."""
        pixels = self.size[0] * self.size[1]
        if self.labels.ndim == 3:
            return np.count_nonzero(self.labels, axis=(1, 2)) / pixels
        return np.bincount(self.labels.ravel(), minlength=len(self.task.names)) / pixels

    @cached_property
    def picture_indices(self) -> np.ndarray:
        """HW indices into task.picture_names."""
        if self.labels.ndim == 2:
            return self.labels
        flat = flatten_layers(self.labels)
        return flat.astype(np.uint8) if len(self.task.colors) <= PALETTE_SIZE else flat

    @cached_property
    def overlay(self) -> np.ndarray:
        """The colours over the image, HWC uint8 RGB."""
        return overlay(to_rgb(self.image), paint(self.picture_indices, self.task.colors))


def paint(indices: np.ndarray, colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """The colour of each index, HWC uint8 RGB, for HW indices that all have one."""
    table = np.array(colors, np.uint8)
    if indices.dtype != np.uint8:
        return table[indices]
    table = np.concatenate([table, np.zeros((PALETTE_SIZE - len(table), 3), np.uint8)])
    return cv2.applyColorMap(indices, table[:, None])


class FileKind(NamedTuple):
    """Files for one image: what is put behind its name, and their contents in the same order."""

    suffixes: Callable[[Task], list[str]]
    encode: Callable[[Result], list[bytes]]


def _index_suffixes(task: Task) -> list[str]:
    return _class_suffixes(task, "") if task.mode == "multilabel" else [".png"]


def _class_suffixes(task: Task, prefix: str) -> list[str]:
    names = task.names[-task.outputs :]  # of a binary task, the foreground alone
    plain = [re.sub(r'[/\\:*?"<>|]', "_", name) for name in names]
    return [f"{prefix}_{place}_{name}.png" for place, name in enumerate(plain)]


def _encode_index(result: Result) -> list[bytes]:
    if result.labels.ndim == 3:
        return [encode_indices(layer * np.uint8(255)) for layer in result.labels]
    return [encode_indices(result.labels if result.labels.dtype == np.uint8 else result.labels.astype(np.uint16))]


def _encode_color(result: Result) -> list[bytes]:
    colors = result.task.colors
    if len(colors) <= PALETTE_SIZE:
        return [encode_indices(result.picture_indices, colors)]
    return [encode_picture(paint(result.picture_indices, colors))]


def _encode_npz(result: Result) -> list[bytes]:
    packed = io.BytesIO()
    names = np.array(result.task.names[-result.task.outputs :])
    # Not compressed: that takes 30 times as long and saves a fifth.
    np.savez(packed, probabilities=result.probabilities.astype(np.float16), names=names)
    return [packed.getvalue()]


def _encode_probabilities(result: Result, dtype: type[np.unsignedinteger]) -> list[bytes]:
    most = np.iinfo(dtype).max
    return [encode_picture(np.rint(layer * np.float32(most)).astype(dtype)) for layer in result.probabilities]


def _encode_geojson(result: Result) -> list[bytes]:
    return [json.dumps(build_geojson(result.labels, result.task), separators=(",", ":")).encode()]


FILE_KINDS = {
    "index": FileKind(_index_suffixes, _encode_index),
    "color": FileKind(lambda task: ["_color.png"], _encode_color),
    "overlay": FileKind(lambda task: ["_overlay.jpg"], lambda result: [encode_jpeg(result.overlay)]),
    "npz": FileKind(lambda task: [".npz"], _encode_npz),
    "prob8": FileKind(lambda task: _class_suffixes(task, "_prob"), lambda r: _encode_probabilities(r, np.uint8)),
    "prob16": FileKind(lambda task: _class_suffixes(task, "_prob"), lambda r: _encode_probabilities(r, np.uint16)),
    "geojson": FileKind(lambda task: [".geojson"], _encode_geojson),
}


def list_suffixes(kinds: Sequence[str], task: Task) -> list[str]:
    """What is put behind the name of an image, for all files that these kinds write for it alone."""
    return [suffix for kind in kinds if kind in FILE_KINDS for suffix in FILE_KINDS[kind].suffixes(task)]


def write_files(result: Result, kinds: Sequence[str], output: Path) -> list[str]:
    """Write those of `kinds` that belong to one image; their names below `output`. Raises DataError where one cannot be
    written."""
    written = []
    for kind in kinds:
        if kind not in FILE_KINDS:
            continue
        suffixes = FILE_KINDS[kind].suffixes(result.task)
        for suffix, content in zip(suffixes, FILE_KINDS[kind].encode(result), strict=True):
            name = f"{result.name.as_posix()}{suffix}"
            write_whole(output / name, content)
            written.append(name)
    return written
