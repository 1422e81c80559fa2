"""TIFF rows: a TIFF that is too large to be read at once."""

from typing import Self

import numpy as np
import tifffile

from segtrain.errors import DataError
from segtrain.files import Window
from segtrain.images.bands import ORIENTATION, Bands, bands_of_page, may_lack_data
from segtrain.images.windows import LARGEST_SEGMENT_BYTES, TiffSegments

PHOTOMETRICS = (1, 2, 6)  # gray, RGB, and JPEG's YCbCr, which the codec converts to RGB


class TiffRows:
    """The first image of a TIFF file, opened for reading rows from top to bottom. Use it as a context manager.

    `height` and `width` are in pixels; for `may_lack_data` see images.bands. Raises DataError for a file whose bands
    are in several pages, that is stored rotated, or whose colors need a palette or a conversion.
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
        self._segments = TiffSegments(self._file)
        self._decoded: dict[int, np.ndarray] = {}  # row of tiles or strips -> pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, top: int, bottom: int) -> Bands:
        """Rows top..bottom - 1 as they are stored. Rows above `top` are removed from memory, so reading them again
        later means decoding them again.

        Raises DataError if the file is damaged or truncated.
        """
        together = self._segments.rows_together
        first, end = top // together, -(-bottom // together)
        for row in [row for row in self._decoded if row < first]:
            del self._decoded[row]
        try:
            for row in range(first, end):
                if row not in self._decoded:
                    start = row * together
                    strip = Window(0, start, self.width, min(together, self.height - start))
                    self._decoded[row] = self._segments.read(strip)
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            text = " ".join(str(error).split())
            raise DataError(
                f"{self.path}: rows {top} to {bottom} cannot be read: {text}; is the file complete?"
            ) from error
        pixels = np.concatenate([self._decoded[row] for row in range(first, end)])
        pixels = pixels[top - first * together :][: bottom - top]
        if self._segments.is_plain:  # reading them again costs nothing
            self._decoded.clear()
        return bands_of_page(pixels, self._page)

    def _require_plain(self) -> None:
        page = self._page
        refusals = [
            (len(self._file.series[0].pages) > 1, "its bands are in several pages; save them in one page"),
            (page.tags.valueof(ORIENTATION, 1) != 1, "it is stored rotated; save it upright"),
            (page.photometric not in PHOTOMETRICS, f"its colors are {page.photometric.name}; save it as RGB or gray"),
            (
                page.compression != 1 and TiffSegments(self._file).segment_bytes > LARGEST_SEGMENT_BYTES,
                "its compressed strips are as large as the image; save it in tiles",
            ),
            (
                page.bitspersample not in (8, 16, 32, 64),
                f"it has {page.bitspersample} bits per sample; save it with 8 or 16",
            ),
        ]
        for refused, reason in refusals:
            if refused:
                self._file.close()
                raise DataError(f"{self.path}: is too large to be read at once, and cannot be read in rows: {reason}")
