"""TIFF rows: a TIFF that is too large to be read as a whole."""

import math
from collections.abc import Iterator
from typing import Self

import numpy as np
import tifffile

from segtrain.errors import DataError
from segtrain.images.bands import ORIENTATION, Bands, band_colors, declared_nodata

GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)  # scale, tie points, transformation and keys of GeoTIFF 1.1
LARGEST_SEGMENT_BYTES = 2**28  # of a compressed tile or strip, which can only be unpacked as a whole
PHOTOMETRICS = (1, 2, 6)  # grey, RGB, and the YCbCr of JPEG, which its codec turns into RGB


class TiffRows:
    """The first image of a TIFF file, opened for reading rows from top to bottom. Close it, or use it as a context.

    `height` and `width` are in pixels; `geo_tags` are its georeferencing as tifffile writes it. Raises DataError for a
    file whose bands lie in several pages, that has to be turned, or whose colours need a palette or a conversion.
    """

    def __init__(self, path: str):
        self.path = path
        self._file: tifffile.TiffFile | None = None
        try:
            self._file = tifffile.TiffFile(path)
            page = self._page = self._file.pages.first
            self.height, self.width, self._bands = page.imagelength, page.imagewidth, page.samplesperpixel
            self.geo_tags = [
                (tag.code, int(tag.dtype), tag.count, tag.value, True)
                for tag in (page.tags.get(code) for code in GEO_TAGS)
                if tag is not None
            ]
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            if self._file is not None:
                self._file.close()
            raise DataError(f"{path}: cannot be read as a TIFF: {' '.join(str(error).split())}") from error
        self._require_plain()
        self._decoded: dict[int, np.ndarray] = {}
        self._rows_per_segment = page.tilelength if page.is_tiled else page.rowsperstrip
        self._columns_per_segment = page.tilewidth if page.is_tiled else self.width

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, top: int, bottom: int) -> Bands:
        """Rows top..bottom - 1 as the file holds them. What lies above `top` is forgotten, so that rows asked for once
        more cost nothing only as long as the next ones lie at or below them.

        Raises DataError where the file is damaged or ends too early.
        """
        page = self._page
        pixels = np.zeros((bottom - top, self.width, self._bands), page.dtype)
        try:
            for index, first_row, first_column, planes in self._segments(top, bottom):
                begin, end = max(top, first_row), min(bottom, first_row + self._rows_per_segment, self.height)
                part = self._rows_of(index, begin - first_row, end - first_row)[:, : self.width - first_column]
                pixels[begin - top : end - top, first_column : first_column + part.shape[1], planes] = part
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            text = " ".join(str(error).split())
            raise DataError(f"{self.path}: rows {top} to {bottom} cannot be read: {text}; is it complete?") from error
        return Bands(pixels, band_colors(page, self._bands), declared_nodata(page, pixels.dtype))

    def _require_plain(self) -> None:
        page = self._page
        refusals = [
            (len(self._file.series[0].pages) > 1, "its bands lie in several pages; save them as one page"),
            (page.tags.valueof(ORIENTATION, 1) != 1, "it is stored turned; save it upright"),
            (page.photometric not in PHOTOMETRICS, f"its colours are {page.photometric.name}; save it as RGB or grey"),
            (
                page.compression != 1 and math.prod(page.chunks) * page.dtype.itemsize > LARGEST_SEGMENT_BYTES,
                "its compressed strips are as large as the image; save it in tiles",
            ),
            (page.bitspersample not in (8, 16, 32, 64), f"it holds {page.bitspersample} bits; save it with 8 or 16"),
        ]
        for refused, reason in refusals:
            if refused:
                self._file.close()
                raise DataError(f"{self.path}: is too large to be read at once, and {reason}")

    def _segments(self, top: int, bottom: int) -> Iterator[tuple[int, int, int, slice]]:
        """Number, first row, first column and bands of every tile or strip that has some of the rows."""
        rows, columns = self._rows_per_segment, self._columns_per_segment
        down, across = -(-self.height // rows), -(-self.width // columns)
        separate = self._page.planarconfig == 2 and self._bands > 1
        for plane in range(self._bands if separate else 1):
            planes = slice(plane, plane + 1) if separate else slice(None)
            for row in range(top // rows, -(-bottom // rows)):
                for column in range(across):
                    yield (plane * down + row) * across + column, row * rows, column * columns, planes
        for index in list(self._decoded):
            if (index // across % down + 1) * rows <= top:
                del self._decoded[index]

    def _rows_of(self, index: int, begin: int, end: int) -> np.ndarray:
        """Some rows of a tile or strip, HWC, each counted from its own first one."""
        page, plain = self._page, (1, 1, 1)
        if page.is_tiled or (page.compression, page.predictor, page.fillorder) != plain:
            return self._decode(index)[begin:end]
        bands = 1 if page.planarconfig == 2 else self._bands  # a strip of any height: often it is the whole image
        dtype = page.dtype.newbyteorder(self._file.byteorder)
        row_bytes = self.width * bands * dtype.itemsize
        file = self._file.filehandle
        file.seek(page.dataoffsets[index] + begin * row_bytes)
        data = file.read((end - begin) * row_bytes)
        return np.frombuffer(data, dtype).reshape(end - begin, self.width, bands)

    def _decode(self, index: int) -> np.ndarray:
        """A tile or strip, HWC."""
        if index not in self._decoded:
            page, file = self._page, self._file.filehandle
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            file.seek(offset)
            data = file.read(count) if count else None
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.jpegtables else {}
            segment, _, shape = page.decode(data, index, **tables)
            empty = np.full(shape, page.nodata, page.dtype)
            self._decoded[index] = (empty if segment is None else segment)[0]
        return self._decoded[index]
