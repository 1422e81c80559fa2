"""Rasters: TIFF files that are too large for memory, read, predicted and written from top to bottom."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from tqdm import tqdm

from segtrain.commands.predict.result import Result, encode_jpeg
from segtrain.commands.predict.tiff_rows import TiffRows
from segtrain.files import explained_write, replacing, write_whole
from segtrain.images.bands import is_tiff, tiff_size, to_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.tiles import tile_starts
from segtrain.inference.uncertainty import Meter

LARGE_PX = 2**26  # pixels of an image from which on it is not held in memory as a whole
TILE_PX = 512  # side of the tiles where --tile is not given
PREVIEW_PX = 2048  # longest side of the overlay, which is for looking at
BLOCK_PX = 256  # side of the blocks that the result is stored in
BIG_TIFF_BYTES = 2**31


def is_large(path: Path) -> bool:
    """True for a TIFF of more than LARGE_PX pixels; a file that cannot be read is reported later."""
    try:
        return is_tiff(str(path)) and math.prod(tiff_size(str(path))) > LARGE_PX
    except Exception:  # a file that is broken in any way
        return False


def predict_raster(
    predictor: Predictor, path: Path, stem: Path, *, with_overlay: bool, meter: Meter | None = None
) -> tuple[tuple[int, int], list[Path], np.ndarray]:
    """Write STEM.tif, class indices with the classes' colours as its palette (in multilabel a band of 0 and 255 for
    each class), and where asked STEM_overlay.jpg, reduced to PREVIEW_PX. Georeferencing is carried over. `meter` is
    given all probabilities.

    Memory beside the model: the tiles of one row, task.outputs * tile_px * width * 4 bytes, and as many rows of the
    image. The predictor's options must have a tile. Raises DataError for a file that is damaged or of a kind that
    cannot be read in rows, and where the result cannot be written; nothing half written is left.

    Returns height and width in pixels, the files, and how many pixels each class has (in multilabel, each layer).
    """
    target = stem.with_name(f"{stem.name}.tif")
    with TiffRows(str(path)) as rows:
        pass_over = _Pass(predictor, rows, path, meter)
        with explained_write(target), replacing(target) as temporary:
            _write(temporary, pass_over)
        files = [target]
        if with_overlay:
            files.append(stem.with_name(f"{stem.name}_overlay.jpg"))
            write_whole(files[-1], encode_jpeg(pass_over.overlay()))
    return (rows.height, rows.width), files, pass_over.counts


class _Pass:
    """One way through the image: gives the prediction in strips, and keeps what the rest is made of."""

    def __init__(self, predictor: Predictor, rows: TiffRows, path: Path, meter: Meter | None):
        self.predictor = predictor
        self.task = predictor.task
        self.rows = rows
        self.path = path
        self.meter = meter
        self.step = -(-max(rows.height, rows.width) // PREVIEW_PX)
        self.counts = np.zeros(len(self.task.names), np.int64)
        self.layered = self.task.mode == "multilabel"
        self.dtype = np.dtype(np.uint8 if self.layered or len(self.task.names) <= 256 else np.uint16)
        self._small: list[tuple[np.ndarray, np.ndarray]] = []  # every `step`-th row and column of image and prediction
        self._latest: tuple[int, np.ndarray] = (0, np.zeros(0))

    def blocks(self) -> Iterator[np.ndarray]:
        """The prediction, as _write has it, in blocks of BLOCK_PX x BLOCK_PX, row by row; the last ones are smaller."""
        rest: list[np.ndarray] = []
        done = 0
        for strip in self._strips():
            strip = np.moveaxis(strip * np.uint8(255), 0, -1) if self.layered else strip
            done += len(strip)
            band = np.concatenate([*rest, strip])
            whole = len(band) if done == self.rows.height else len(band) - len(band) % BLOCK_PX
            for top in range(0, whole, BLOCK_PX):
                for left in range(0, self.rows.width, BLOCK_PX):
                    yield band[top : top + BLOCK_PX, left : left + BLOCK_PX]
            rest = [band[whole:]]

    def _strips(self) -> Iterator[np.ndarray]:
        """Predictions of rows, (rows, W) or (classes, rows, W), every row once, in order."""
        tops = len(tile_starts(self.rows.height, self.predictor.options.tile_px, self.predictor.options.overlap))
        with tqdm(total=tops, desc=self.path.name, unit=" rows of tiles", disable=None, leave=False) as progress:
            for top, probabilities in self.predictor.strips(self._read, (self.rows.height, self.rows.width)):
                prediction = self.predictor.labels(probabilities)[0].to("cpu").numpy().astype(self.dtype)
                self._note(top, prediction)
                if self.meter is not None:
                    self.meter.add(probabilities)
                yield prediction
                progress.update()

    def overlay(self) -> np.ndarray:
        """The overlay of every `step`-th pixel, HWC uint8 RGB."""
        images, predictions = zip(*self._small, strict=True)
        image, labels = np.concatenate(images), np.concatenate(predictions, axis=-2)
        return Result(self.path, self.path, self.task, image, labels).overlay

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
        small_image = image[top - begin + first : top - begin + rows : self.step, :: self.step].copy()
        self._small.append((small_image, prediction[..., first : rows : self.step, :: self.step].copy()))


def _write(path: Path, pass_over: _Pass) -> None:
    task, rows, dtype = pass_over.task, pass_over.rows, pass_over.dtype
    shape = (rows.height, rows.width, *([len(task.names)] if pass_over.layered else []))
    options = {"photometric": "minisblack"}
    if not pass_over.layered and dtype == np.uint8:
        palette = np.zeros((3, 256), np.uint16)  # 0..65535, as TIFF has colours
        palette[:, : len(task.colors)] = np.array(task.colors, np.uint16).T * 257
        options = {"photometric": "palette", "colormap": palette}
    tifffile.imwrite(
        path,
        pass_over.blocks(),
        shape=shape,
        dtype=dtype,
        tile=(BLOCK_PX, BLOCK_PX),
        compression="zlib",
        predictor=False,
        planarconfig="contig" if pass_over.layered else None,
        bigtiff=math.prod(shape) * dtype.itemsize > BIG_TIFF_BYTES,
        extratags=rows.geo_tags,
        metadata=None,
        maxworkers=1,  # more would ask for all blocks at once, and keep them
        **options,
    )
