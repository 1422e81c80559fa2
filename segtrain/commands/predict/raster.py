"""Rasters: TIFF files that are too large for memory, read, predicted and written from top to bottom."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from tqdm import tqdm

from segtrain.commands.predict.result import encode_jpeg, paint_indices
from segtrain.commands.predict.tiff_rows import TiffRows
from segtrain.errors import DataError
from segtrain.files import explained_write, replacing, write_whole
from segtrain.images.bands import is_tiff, tiff_size, to_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.tiles import tile_starts
from segtrain.visualize import flatten_layers, overlay, to_rgb

LARGE_PX = 2**26  # pixels of an image from which on it is not held in memory as a whole
TILE_PX = 512  # side of the tiles where --tile is not given
PREVIEW_PX = 2048  # longest side of the overlay, which is for looking at
BLOCK_PX = 256  # side of the blocks that the result is stored in
BIG_TIFF_BYTES = 2**31


@dataclass
class RasterResult:
    """The result for a large TIFF: its size in pixels, the files, and how many pixels each class has (in
    multilabel, of each layer)."""

    height: int
    width: int
    files: list[Path]
    counts: np.ndarray


def is_large(path: Path) -> bool:
    """True for a TIFF of more than LARGE_PX pixels; a file that cannot be read is reported later."""
    try:
        if not is_tiff(str(path)):
            return False
        height, width = tiff_size(str(path))
    except (OSError, DataError, ValueError, RuntimeError, LookupError):
        return False
    return height * width > LARGE_PX


def predict_raster(predictor: Predictor, path: Path, stem: Path, *, with_overlay: bool) -> RasterResult:
    """Write STEM.tif, class indices with the classes' colours as its palette (in multilabel a band of 0 and 255 for
    each class), and where asked STEM_overlay.jpg, reduced to PREVIEW_PX. Georeferencing is carried over.

    Memory beside the model: the tiles of one row, task.outputs * tile_px * width * 4 bytes, and as many rows of the
    image. The predictor's options must have a tile. Raises DataError for a file that is damaged or of a kind that
    cannot be read in rows, and where the result cannot be written; nothing half written is left.
    """
    target = stem.with_name(f"{stem.name}.tif")
    with TiffRows(str(path)) as rows:
        pass_over = _Pass(predictor, rows, path, preview_step=-(-max(rows.height, rows.width) // PREVIEW_PX))
        with explained_write(target), replacing(target) as temporary:
            _write(temporary, pass_over)
        files = [target]
        if with_overlay:
            files.append(stem.with_name(f"{stem.name}_overlay.jpg"))
            write_whole(files[-1], encode_jpeg(pass_over.preview()))
    return RasterResult(rows.height, rows.width, files, pass_over.counts)


class _Pass:
    """One way through the image: gives the prediction in strips, and keeps what the rest is made of."""

    def __init__(self, predictor: Predictor, rows: TiffRows, path: Path, *, preview_step: int):
        self.predictor = predictor
        self.task = predictor.task
        self.rows = rows
        self.path = path
        self.step = preview_step
        self.counts = np.zeros(len(self.task.names), np.int64)
        self._small_images: list[np.ndarray] = []
        self._small_predictions: list[np.ndarray] = []
        self._latest: tuple[int, np.ndarray] = (0, np.zeros(0))

    def strips(self) -> Iterator[np.ndarray]:
        """Predictions of rows, (rows, W) or (classes, rows, W) uint8 or uint16, every row once, in order."""
        tops = len(tile_starts(self.rows.height, self.predictor.options.tile_px, self.predictor.options.overlap))
        kind = np.uint8 if len(self.task.names) <= 256 else np.uint16
        with tqdm(total=tops, desc=self.path.name, unit=" rows of tiles", disable=None, leave=False) as progress:
            for top, probabilities in self.predictor.strips(self._read, (self.rows.height, self.rows.width)):
                prediction = self.predictor.labels(probabilities)[0].to("cpu").numpy().astype(kind)
                self._note(top, prediction)
                yield prediction
                progress.update()

    def preview(self) -> np.ndarray:
        """The overlay of every `step`-th pixel, HWC uint8 RGB."""
        image, prediction = np.concatenate(self._small_images), np.concatenate(self._small_predictions, axis=-2)
        flat = flatten_layers(prediction) if prediction.ndim == 3 else prediction
        return overlay(to_rgb(image), paint_indices(flat, self.task.colors))

    def _read(self, top: int, bottom: int) -> np.ndarray:
        raw = self.rows.read(top, bottom)
        self._latest = top, to_image(raw, str(self.path), **self.task.image_options)
        return self._latest[1]

    def _note(self, top: int, prediction: np.ndarray) -> None:
        rows = prediction.shape[-2]
        if prediction.ndim == 3:
            self.counts += prediction.sum(axis=(1, 2), dtype=np.int64)
        else:
            self.counts += np.bincount(prediction.ravel(), minlength=len(self.counts))
        first = -top % self.step
        begin, image = self._latest
        self._small_images.append(image[top - begin + first : top - begin + rows : self.step, :: self.step].copy())
        self._small_predictions.append(prediction[..., first : rows : self.step, :: self.step].copy())


def _write(path: Path, pass_over: _Pass) -> None:
    task, rows = pass_over.task, pass_over.rows
    layers = task.mode == "multilabel"
    kind = np.dtype(np.uint8 if layers or len(task.names) <= 256 else np.uint16)
    shape = (rows.height, rows.width, *([len(task.names)] if layers else []))
    palette = not layers and kind == np.uint8
    options = (
        {"photometric": "palette", "colormap": _palette(task.colors)} if palette else {"photometric": "minisblack"}
    )
    tifffile.imwrite(
        path,
        _blocks(pass_over.strips(), layers=layers),
        shape=shape,
        dtype=kind,
        tile=(BLOCK_PX, BLOCK_PX),
        compression="zlib",
        predictor=False,
        planarconfig="contig" if layers else None,
        bigtiff=int(np.prod(shape, dtype=np.int64)) * kind.itemsize > BIG_TIFF_BYTES,
        extratags=rows.geo_tags,
        metadata=None,
        maxworkers=1,  # more would ask for all blocks at once, and keep them
        **options,
    )


def _palette(colors: list[tuple[int, int, int]]) -> np.ndarray:
    """(3, 256) uint16 of 0..65535, as TIFF has colours."""
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colors)] = np.array(colors, np.uint16).T * 257
    return table


def _blocks(strips: Iterator[np.ndarray], *, layers: bool) -> Iterator[np.ndarray]:
    """Strips of any number of rows as blocks of BLOCK_PX x BLOCK_PX, row by row; the last ones are filled with 0."""
    kept: np.ndarray | None = None
    for strip in strips:
        strip = np.moveaxis(strip * np.uint8(255), 0, -1) if layers else strip
        kept = strip if kept is None else np.concatenate([kept, strip])
        whole = len(kept) - len(kept) % BLOCK_PX
        yield from _cut(kept[:whole])
        kept = kept[whole:]
    if kept is not None:
        yield from _cut(kept)


def _cut(band: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, len(band), BLOCK_PX):
        for left in range(0, band.shape[1], BLOCK_PX):
            block = band[top : top + BLOCK_PX, left : left + BLOCK_PX]
            missing = [(0, BLOCK_PX - side) for side in block.shape[:2]] + [(0, 0)] * (block.ndim - 2)
            yield np.pad(block, missing)
