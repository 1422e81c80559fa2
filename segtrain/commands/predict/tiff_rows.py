"""TIFF rows: a TIFF that is too large to be read as a whole."""

import math
from typing import Self

import numpy as np
import tifffile

from segtrain.errors import DataError
from segtrain.images.bands import ORIENTATION, Bands, bands_of_page, may_lack_data

LARGEST_SEGMENT_BYTES = 2**28  # of a compressed tile or strip, which can only be unpacked as a whole
PHOTOMETRICS = (1, 2, 6)  # grey, RGB, and the YCbCr of JPEG, which its codec turns into RGB


class TiffRows:
    """The first image of a TIFF file, opened for reading rows from top to bottom. Close it, or use it as a context.

    `height` and `width` are in pixels; `may_lack_data` is that of the page. Raises DataError for a file whose bands lie
    in several pages, that has to be turned, or whose colours need a palette or a conversion.
    """

    def __init__(self, path: str):
        self.path = path
        self._file: tifffile.TiffFile | None = None
        try:
            self._file = tifffile.TiffFile(path)
            page = self._page = self._file.pages.first
            self.height, self.width, self._bands = page.imagelength, page.imagewidth, page.samplesperpixel
            self.may_lack_data = may_lack_data(page)
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            if self._file is not None:
                self._file.close()
            raise DataError(f"{path}: cannot be read as a TIFF: {' '.join(str(error).split())}") from error
        self._require_plain()
        self._decoded: dict[int, np.ndarray] = {}  # row of tiles or strips -> pixels
        # A plain strip has any height, and often is the whole image: it is read row by row.
        encoding = (page.compression, page.predictor, page.fillorder)
        self._plain = not page.is_tiled and encoding == (1, 1, 1) and all(page.databytecounts)
        rows_together = page.tilelength if page.is_tiled else page.rowsperstrip
        self._rows_at_once = 1 if self._plain else rows_together
        self._planes = self._bands if page.planarconfig == 2 else 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, top: int, bottom: int) -> Bands:
        """Rows top..bottom - 1 as the file holds them. What lies above `top` is forgotten, so that rows asked for once
        more cost nothing only as long as the next ones lie at or below them.

        Raises DataError where the file is damaged or ends too early.
        """
        first, end = top // self._rows_at_once, -(-bottom // self._rows_at_once)
        for row in [row for row in self._decoded if row < first]:
            del self._decoded[row]
        try:
            for row in range(first, end):
                if row not in self._decoded:
                    planes = [self._read_plane(row, plane) for plane in range(self._planes)]
                    self._decoded[row] = np.concatenate(planes, axis=2)
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            text = " ".join(str(error).split())
            raise DataError(f"{self.path}: rows {top} to {bottom} cannot be read: {text}; is it complete?") from error
        pixels = np.concatenate([self._decoded[row] for row in range(first, end)])
        pixels = pixels[top - first * self._rows_at_once :][: bottom - top]
        if self._plain:  # to read it again costs nothing
            self._decoded.clear()
        return bands_of_page(pixels, self._page)

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

    def _read_plane(self, row: int, plane: int) -> np.ndarray:
        """A row of tiles, a strip, or one row of a plain strip, HWC, of all bands or of that plane."""
        page, file = self._page, self._file.filehandle
        before = plane * (len(page.dataoffsets) // self._planes)
        if self._plain:
            strip, row_in_strip = divmod(row, page.rowsperstrip)
            values = self.width * self._bands // self._planes
            file.seek(page.dataoffsets[before + strip] + row_in_strip * values * page.dtype.itemsize)
            data = file.read(values * page.dtype.itemsize)
            pixels = np.frombuffer(data, page.dtype.newbyteorder(self._file.byteorder)).astype(page.dtype)
            return pixels.reshape(1, self.width, -1)
        across = -(-self.width // page.tilewidth) if page.is_tiled else 1
        segments = [self._decode(before + row * across + column) for column in range(across)]
        return np.concatenate(segments, axis=1)[:, : self.width]

    def _decode(self, index: int) -> np.ndarray:
        """A tile or strip, HWC."""
        page, file = self._page, self._file.filehandle
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index]) if page.databytecounts[index] else None
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.jpegtables else {}
        segment, _, shape = page.decode(data, index, **tables)
        return (np.full(shape, page.nodata, page.dtype) if segment is None else segment)[0]
