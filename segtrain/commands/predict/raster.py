"""Rasters: TIFF files that are too large for memory, read, predicted and written from top to bottom."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm import tqdm

from segtrain.commands.predict.geotiff import index_dtype, no_class, write_geotiff
from segtrain.commands.predict.polygons import Region, build_tracers
from segtrain.commands.predict.result import Result, encode_jpeg
from segtrain.commands.predict.shaping import IN_THE_IMAGE, Shaping
from segtrain.commands.predict.sieve import AT_ONCE_PX, sieve_bands
from segtrain.commands.predict.tiff_rows import TiffRows
from segtrain.commands.predict.vectors import write_geojson, write_geopackage
from segtrain.files import explained_write, replacing, write_whole
from segtrain.images.bands import find_nodata, is_tiff, tiff_size, to_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.tiles import tile_starts
from segtrain.inference.uncertainty import Meter

LARGE_PX = 2**26  # larger images are not kept in memory as a whole
TILE_PX = 512  # side of the tiles without --tile
PREVIEW_PX = 2048  # longest side of the overlay


class PredictedRaster(NamedTuple):
    """Height and width in pixels; the written files; the share of each class (in multilabel, of each layer) in the
    pixels with data, float64."""

    size: tuple[int, int]
    files: list[Path]
    shares: np.ndarray


def is_large(path: Path) -> bool:
    """Whether a file is a TIFF of more than LARGE_PX pixels. A file that cannot be read is reported later."""
    try:
        return is_tiff(str(path)) and math.prod(tiff_size(str(path))) > LARGE_PX
    except Exception:  # a file may be broken in any way
        return False


def predict_raster(
    predictor: Predictor,
    path: Path,
    stem: Path,
    *,
    kinds: Sequence[str],
    shaping: Shaping,
    meter: Meter | None = None,
) -> PredictedRaster:
    """Write STEM.tif with write_geotiff and, if they are in `kinds`, STEM_overlay.jpg, reduced to PREVIEW_PX,
    STEM.geojson and STEM.gpkg. `meter` gets all probabilities.

    Memory in addition to the model: one row of tiles, task.outputs * tile_px * width * 4 bytes, the same rows of the
    image, and what Tracer and sieve_bands need. The predictor's options must have a tile. Raises DataError for a file
    that is damaged or cannot be read in rows, and if a result cannot be written; no partial file is left.
    """
    target = stem.with_name(f"{stem.name}.tif")
    with TiffRows(str(path)) as rows:
        pass_over = _Pass(predictor, rows, path, shaping, meter, kinds=kinds)
        georeference, size, task = pass_over.georeference, (rows.height, rows.width), predictor.task
        options = {"tags": georeference.tags if georeference else [], "with_nodata": pass_over.with_nodata}
        writing, spooling = replacing(target), partial(tempfile.TemporaryFile, dir=target.parent)
        with explained_write(target), writing as temporary, spooling() as spool:
            write_geotiff(temporary, pass_over.strips(spool), size, task, **options)
        files = [target]
        if "overlay" in kinds:
            files.append(stem.with_name(f"{stem.name}_overlay.jpg"))
            write_whole(files[-1], encode_jpeg(pass_over.overlay()))
        if "geojson" in kinds:
            files.append(stem.with_name(f"{stem.name}.geojson"))
            write_geojson(files[-1], pass_over.regions(), task, georeference)
        if "geopackage" in kinds:
            files.append(stem.with_name(f"{stem.name}.gpkg"))
            write_geopackage(files[-1], pass_over.regions(), task, georeference, image=path)
    return PredictedRaster(size, files, pass_over.counts / max(pass_over.pixels, 1))


class _Pass:
    """One pass over the image: yields the prediction in strips, and keeps what the other outputs need."""

    def __init__(
        self,
        predictor: Predictor,
        rows: TiffRows,
        path: Path,
        shaping: Shaping,
        meter: Meter | None,
        *,
        kinds: Sequence[str],
    ):
        self.predictor = predictor
        self.task = predictor.task
        self.rows = rows
        self.path = path
        self.meter = meter
        self.shaping = shaping
        self.georeference = shaping.georeferences.get(path)
        self.with_nodata = self.georeference is not None and rows.may_lack_data
        self.step = -(-max(rows.height, rows.width) // PREVIEW_PX)
        self.counts = np.zeros(len(self.task.names), np.int64)
        self.pixels = 0  # with data
        self.layered = self.task.mode == "multilabel"
        tracers = partial(build_tracers, self.task, rows.width, simplify_px=shaping.simplify_px)
        self._tracers = [] if IN_THE_IMAGE.isdisjoint(kinds) else tracers()
        self._small_image: list[np.ndarray] = []  # every `step`-th row and column
        self._small: list[np.ndarray] = []  # the same of the prediction
        self._latest: tuple[int, np.ndarray, np.ndarray | None] = (0, np.zeros(0), None)

    def strips(self, spool: BinaryIO) -> Iterator[np.ndarray]:
        """The prediction as write_geotiff needs it: (rows, W) or (classes, rows, W), from top to bottom. `spool` is a
        temporary file to write to."""
        strips = self._predicted()
        if self.shaping.min_area_px > 1:
            strips = self._sieved(strips, spool)
        top = 0
        for strip in strips:
            self._note(top, strip)
            top += strip.shape[-2]
            yield strip

    def overlay(self) -> np.ndarray:
        """The overlay of every `step`-th pixel, HWC uint8 RGB."""
        image, labels = np.concatenate(self._small_image), np.concatenate(self._small, axis=-2)
        hidden = self._hidden(labels)
        labels = labels * ~hidden if self.layered else labels
        return Result(self.path, self.path, self.task, image, labels, nodata=hidden if hidden.any() else None).overlay

    def regions(self) -> Iterator[Region]:
        """The regions of the whole image, once all strips have been yielded."""
        return chain.from_iterable(tracer.regions() for tracer in self._tracers)

    def _predicted(self) -> Iterator[np.ndarray]:
        dtype = index_dtype(self.task, with_nodata=self.with_nodata)
        tops = len(tile_starts(self.rows.height, self.predictor.options.tile_px, self.predictor.options.overlap))
        with tqdm(total=tops, desc=self.path.name, unit=" rows of tiles", disable=None, leave=False) as progress:
            for top, probabilities in self.predictor.strips(self._read, (self.rows.height, self.rows.width)):
                prediction = self.predictor.labels(probabilities)[0].to("cpu").numpy().astype(dtype)
                begin, image, hidden = self._latest
                inside = slice(top - begin, top - begin + prediction.shape[-2])
                if hidden is not None:
                    prediction[..., hidden[inside]] = no_class(self.task)
                self._small_image.append(image[inside][-top % self.step :: self.step, :: self.step].copy())
                if self.meter is not None:
                    self.meter.add(probabilities)
                yield prediction
                progress.update()

    def _read(self, top: int, bottom: int) -> np.ndarray:
        raw = self.rows.read(top, bottom)
        image = to_image(raw, str(self.path), **self.task.image_options)
        given = {"channels": self.task.channels, "bands": self.task.bands}
        self._latest = top, image, find_nodata(raw, **given) if self.with_nodata else None
        return image

    def _sieved(self, strips: Iterator[np.ndarray], spool: BinaryIO) -> Iterator[np.ndarray]:
        """The strips without small regions. All strips are written to the spool first."""
        bands: list[tuple[int, tuple[int, ...], np.dtype]] = []
        rows = max(AT_ONCE_PX // self.rows.width, 1)
        for strip in strips:
            for top in range(0, strip.shape[-2], rows):
                band = np.ascontiguousarray(strip[..., top : top + rows, :])
                bands.append((spool.tell(), band.shape, band.dtype))
                spool.write(band.data)

        def read(layer: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for place, shape, dtype in bands:
                spool.seek(place)
                band = np.frombuffer(spool.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
                yield band if layer is None else band[layer], self._hidden(band)

        if not self.layered:
            yield from sieve_bands(partial(read, None), self.shaping.min_area_px)
            return
        layers = range(len(self.task.names))
        sieved = [sieve_bands(partial(read, layer), self.shaping.min_area_px) for layer in layers]
        yield from map(np.stack, zip(*sieved, strict=True))

    def _hidden(self, strip: np.ndarray) -> np.ndarray:
        """Where a strip has no data, bool HW."""
        if not self.with_nodata:
            return np.zeros(strip.shape[-2:], bool)
        return (strip[0] if self.layered else strip) == no_class(self.task)

    def _note(self, top: int, strip: np.ndarray) -> None:
        self.pixels += int((~self._hidden(strip)).sum())
        if self.layered:
            self.counts += (strip == 1).sum(axis=(1, 2), dtype=np.int64)
        else:
            self.counts += np.bincount(strip.ravel(), minlength=len(self.counts))[: len(self.counts)]
        self._small.append(strip[..., -top % self.step :: self.step, :: self.step].copy())
        for tracer, layer in zip(self._tracers, strip if self.layered else [strip], strict=False):
            tracer.add(layer)
