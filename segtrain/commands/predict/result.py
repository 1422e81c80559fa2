"""Result: a predicted image, and the files that are written for each image."""

import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from segtrain.commands.predict.geotiff import no_class, write_geotiff
from segtrain.commands.predict.labelme import build_labelme
from segtrain.commands.predict.polygons import Region, find_regions
from segtrain.commands.predict.vectors import build_geojson, write_geopackage
from segtrain.files import write_whole
from segtrain.images.georeference import Georeference
from segtrain.inference.inputs import is_video
from segtrain.inference.prediction import PALETTE_SIZE, PredictedImage, paint_indices
from segtrain.inference.task import Task
from segtrain.inference.uncertainty import Uncertainty
from segtrain.visualize import Color, class_suffixes

JPEG_QUALITY = 95
JPEG_MOST_PX = 65_500  # longest side that libjpeg-turbo writes
FILE_SUFFIXES = {
    "color": "_color.png",
    "overlay": "_overlay.jpg",
    "npz": ".npz",
    "geojson": ".geojson",
    "labelme": ".json",
    "geopackage": ".gpkg",
}


@dataclass(frozen=True)
class Result(PredictedImage):
    """A predicted image, and the file it comes from.

    `path` is that file, and `name` the path of the outputs below the output folder, without suffix. `image` and
    `labels` are those of PredictedImage. `probabilities` are (task.outputs, H, W) float32; they and `uncertainty` are
    None if they are not needed. `nodata`, bool HW, is true for pixels without data; None if there are none.
    `georeference` is that of the file, if it has one. `simplify_px` is how far outlines may move.
    """

    path: Path
    name: Path
    task: Task
    image: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray | None = None
    uncertainty: Uncertainty | None = None
    nodata: np.ndarray | None = None
    georeference: Georeference | None = None
    simplify_px: float = 0.0

    @property
    def in_tiff(self) -> bool:
        """Whether its class indices are written as a GeoTIFF."""
        return self.georeference is not None and bool(self.georeference.tags)

    @cached_property
    def regions(self) -> list[Region]:
        """The regions, from which all outlines are written."""
        return list(find_regions(self.labels, self.task, simplify_px=self.simplify_px))

    @property
    def file_name(self) -> str:
        """The name of the image in tables."""
        return file_name_of(self.path, self.name)


def file_name_of(path: Path, name: Path) -> str:
    """The name of an image in tables: its path below the input folder. Video frames have no suffix."""
    return name.as_posix() + ("" if is_video(path) else path.suffix)


def list_suffixes(kinds: Sequence[str], task: Task, *, in_tiff: bool = False) -> list[str]:
    """What is appended to the name of an image for each of its files, for these kinds."""
    suffixes: list[str] = []
    for kind in kinds:
        if kind == "index" and in_tiff:
            suffixes.append(".tif")
        elif kind in ("index", "values"):
            layers = class_suffixes(
                task.names, numbered=kind == "index"
            )  # without numbers, data.masks: {class} finds the values
            suffixes += layers if task.mode == "multilabel" else [".png"]
        elif kind in ("prob8", "prob16"):  # of a binary task, only the foreground
            suffixes += class_suffixes(task.names[-task.outputs :], "_prob")
        elif kind in FILE_SUFFIXES:
            suffixes.append(FILE_SUFFIXES[kind])
    return suffixes


def encode_files(result: Result, kind: str, *, output: Path = Path()) -> list[bytes]:
    """The contents of the files of one kind, in the order of list_suffixes. `output` is the output folder, for files
    that contain the relative path of their image."""
    task, labels = result.task, result.labels
    match kind:
        case "index" if result.in_tiff:
            return [_encode_geotiff(result)]
        case "index" if labels.ndim == 3:
            return [encode_png(layer * np.uint8(255)) for layer in labels]
        case "index":
            return [encode_png(labels if labels.dtype == np.uint8 else labels.astype(np.uint16))]
        case "values":
            return encode_values(labels, task)
        case "color" if len(result.picture_colors) <= PALETTE_SIZE:
            return [encode_palette(result.picture_indices, result.picture_colors)]
        case "color":
            return [encode_png(paint_indices(result.picture_indices, result.picture_colors), smooth=True)]
        case "overlay":
            return [encode_jpeg(result.overlay)]
        case "npz":
            packed = io.BytesIO()
            probabilities = result.probabilities.astype(np.float16)
            # Not compressed: compression takes 30 times as long and saves a fifth.
            np.savez(packed, probabilities=probabilities, names=np.array(task.names[-task.outputs :]))
            return [packed.getvalue()]
        case "prob8" | "prob16":
            dtype = np.dtype(f"uint{kind.removeprefix('prob')}")
            most = np.float32(np.iinfo(dtype).max)
            return [encode_png(np.rint(layer * most).astype(dtype), smooth=True) for layer in result.probabilities]
        case "geojson":
            return ["".join(build_geojson(result.regions, task, result.georeference)).encode()]
        case "labelme":
            content = build_labelme(result, result.regions, result.path, (output / result.name).parent)
            return [json.dumps(content, separators=(",", ":")).encode()]
    return []  # a table of all images


def write_files(result: Result, kinds: Sequence[str], output: Path) -> list[str]:
    """Write the files of one image, of those `kinds` that have any. Returns their paths below `output`. Raises
    DataError if one cannot be written."""
    written = []
    for kind in kinds:
        suffixes = list_suffixes([kind], result.task, in_tiff=result.in_tiff)
        names = [f"{result.name.as_posix()}{suffix}" for suffix in suffixes]
        written += names
        if kind == "geopackage":
            write_geopackage(output / names[0], result.regions, result.task, result.georeference, image=result.path)
            continue
        for name, content in zip(names, encode_files(result, kind, output=output), strict=True):
            write_whole(output / name, content)
    return written


def encode_values(labels: np.ndarray, task: Task) -> list[bytes]:
    """PNGs like the masks of the dataset: task.mask_values for HW class indices, gray in 8 or 16 bits or RGB; for CHW
    layers, the value of each class, and 0. Pixels without data get ignore_index or, if the masks have colors, the color
    of the first class, since training ignores such pixels because of the image."""
    values = np.array(task.mask_values)
    if labels.ndim == 3:
        values = values.astype(np.uint8 if values.max() < 256 else np.uint16)
        return [encode_png(layer * value) for layer, value in zip(labels, values, strict=True)]
    values = np.concatenate([values, values[:1] if values.ndim == 2 else [task.ignore_index]])
    indices = np.minimum(labels, len(values) - 1)
    values = values.astype(np.uint8 if values[indices].max() < 256 else np.uint16)
    return [encode_png(values[indices])]


def _encode_geotiff(result: Result) -> bytes:
    labels, packed = result.labels, io.BytesIO()
    if labels.ndim == 3 and result.nodata is not None:
        labels = np.where(result.nodata, no_class(result.task), labels)
    options = {"tags": result.georeference.tags, "with_nodata": result.nodata is not None}
    write_geotiff(packed, [labels], result.size, result.task, **options)
    return packed.getvalue()


def encode_png(pixels: np.ndarray, *, smooth: bool = False) -> bytes:
    """HW uint8 or uint16, or HWC uint8 RGB, as a PNG. If it is `smooth`, the differences from the row above are
    compressed. Looking for runs only takes zlib a quarter of the time of its full search; classes are long runs, and
    the low bits of probabilities are noise."""
    options = {"strategy": imagecodecs.PNG.STRATEGY.RLE, "filter": imagecodecs.PNG.FILTER["UP" if smooth else "NONE"]}
    return imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1, **options)


def encode_palette(mask: np.ndarray, colors: Sequence[Color]) -> bytes:
    """HW uint8 as a PNG with these colors, 256 at most, as its palette."""
    picture, packed = Image.fromarray(mask), io.BytesIO()
    picture.putpalette(np.array(colors, np.uint8).tobytes())
    picture.save(packed, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return packed.getvalue()


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """HWC uint8 RGB as a JPEG without chroma subsampling; every nth pixel of an image that is too large for JPEG."""
    step = -(-max(pixels.shape[:2]) // JPEG_MOST_PX)
    reduced = np.ascontiguousarray(pixels[::step, ::step])
    return imagecodecs.jpeg8_encode(reduced, level=JPEG_QUALITY, subsampling="444")
