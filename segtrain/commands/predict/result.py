"""Result: a predicted image, and the files that show it alone."""

import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import torch
from PIL import Image

from segtrain.commands.predict.polygons import build_geojson
from segtrain.files import write_whole
from segtrain.inference.inputs import is_video
from segtrain.inference.task import Task
from segtrain.visualize import Color, class_suffixes, flatten_layers, overlay, to_rgb

PALETTE_SIZE = 256
JPEG_QUALITY = 95
JPEG_MOST_PX = 65_500  # of a side, in libjpeg-turbo
FILE_SUFFIXES = {"color": "_color.png", "overlay": "_overlay.jpg", "npz": ".npz", "geojson": ".geojson"}


@dataclass(frozen=True)
class Result:
    """A predicted image.

    `path` is the file that it comes from, `name` what is written for it, below the output folder and without suffix.
    `image` is HWC as read_image gives it. `labels` are HW class indices, or in
    multilabel CHW layers of 0 and 1, uint8 where the classes fit in and int32 elsewhere. `probabilities` are
    (task.outputs, H, W) float32, None where they are not wanted.
    """

    path: Path
    name: Path
    task: Task
    image: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray | None = None

    @property
    def file_name(self) -> str:
        """What tables call it."""
        return file_name_of(self.path, self.name)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[-2], self.labels.shape[-1]

    def layer(self, index: int) -> np.ndarray:
        """HW, not 0 where a pixel is this class."""
        return self.labels[index] if self.labels.ndim == 3 else self.labels == index

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
        return overlay(to_rgb(self.image), paint_indices(self.picture_indices, self.task.colors))


def file_name_of(path: Path, name: Path) -> str:
    """The name of an image in tables: its path below the folder that was given, with its suffix; frames of videos have
    none."""
    return name.as_posix() + ("" if is_video(path) else path.suffix)


def label_dtype(task: Task) -> torch.dtype:
    """That of Result.labels."""
    return torch.uint8 if len(task.picture_names) <= PALETTE_SIZE else torch.int32


def paint_indices(indices: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """The colour of each index, HWC uint8 RGB, for HW indices that all have one."""
    table = np.array(colors, np.uint8)
    if indices.dtype != np.uint8:
        return table[indices]
    table = np.concatenate([table, np.zeros((PALETTE_SIZE - len(table), 3), np.uint8)])
    return cv2.applyColorMap(indices, table[:, None])


def list_suffixes(kinds: Sequence[str], task: Task) -> list[str]:
    """The endings of all files that these kinds write for each image, after its name."""
    suffixes: list[str] = []
    for kind in kinds:
        if kind == "index":
            suffixes += class_suffixes(task.names) if task.mode == "multilabel" else [".png"]
        elif kind in ("prob8", "prob16"):  # of a binary task, the foreground alone
            suffixes += class_suffixes(task.names[-task.outputs :], "_prob")
        elif kind in FILE_SUFFIXES:
            suffixes.append(FILE_SUFFIXES[kind])
    return suffixes


def encode_files(result: Result, kind: str) -> list[bytes]:
    """The contents of the files of one kind, in the order of list_suffixes."""
    task, labels = result.task, result.labels
    match kind:
        case "index" if labels.ndim == 3:
            return [encode_png(layer * np.uint8(255)) for layer in labels]
        case "index":
            return [encode_png(labels if labels.dtype == np.uint8 else labels.astype(np.uint16))]
        case "color" if len(task.colors) <= PALETTE_SIZE:
            return [encode_palette(result.picture_indices, task.colors)]
        case "color":
            return [encode_png(paint_indices(result.picture_indices, task.colors), smooth=True)]
        case "overlay":
            return [encode_jpeg(result.overlay)]
        case "npz":
            packed = io.BytesIO()
            probabilities = result.probabilities.astype(np.float16)
            # Not compressed: that takes 30 times as long and saves a fifth.
            np.savez(packed, probabilities=probabilities, names=np.array(task.names[-task.outputs :]))
            return [packed.getvalue()]
        case "prob8" | "prob16":
            dtype = np.dtype(f"uint{kind.removeprefix('prob')}")
            most = np.float32(np.iinfo(dtype).max)
            return [encode_png(np.rint(layer * most).astype(dtype), smooth=True) for layer in result.probabilities]
        case "geojson":
            return [json.dumps(build_geojson(labels, task), separators=(",", ":")).encode()]
    return []  # a table of all images


def write_files(result: Result, kinds: Sequence[str], output: Path) -> list[str]:
    """Write those of `kinds` that belong to one image; their names below `output`. Raises DataError where one cannot be
    written."""
    written = []
    for kind in kinds:
        for suffix, content in zip(list_suffixes([kind], result.task), encode_files(result, kind), strict=True):
            written.append(f"{result.name.as_posix()}{suffix}")
            write_whole(output / written[-1], content)
    return written


def encode_png(pixels: np.ndarray, *, smooth: bool = False) -> bytes:
    """HW uint8 or uint16, or HWC uint8 RGB, as a PNG; where neighbours differ little, as the differences to the row
    above. zlib's runs alone take a quarter of the time of its search: classes are long runs, probabilities end in
    noise."""
    options = {"strategy": imagecodecs.PNG.STRATEGY.RLE, "filter": imagecodecs.PNG.FILTER["UP" if smooth else "NONE"]}
    return imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1, **options)


def encode_palette(mask: np.ndarray, colors: Sequence[Color]) -> bytes:
    """HW uint8 as a PNG with these at most 256 colours as its palette."""
    picture, packed = Image.fromarray(mask), io.BytesIO()
    picture.putpalette(np.array(colors, np.uint8).tobytes())
    picture.save(packed, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return packed.getvalue()


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """HWC uint8 RGB as a JPEG with colours as sharp as its brightness; only every nth pixel of what is too long for the
    format."""
    step = -(-max(pixels.shape[:2]) // JPEG_MOST_PX)
    reduced = np.ascontiguousarray(pixels[::step, ::step])
    return imagecodecs.jpeg8_encode(reduced, level=JPEG_QUALITY, subsampling="444")
