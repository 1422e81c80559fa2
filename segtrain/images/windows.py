"""Windows: parts of large images. Of a TIFF, only the tiles, strips or rows that a window touches are decoded; other
files are read as a whole.

Adobe, TIFF Revision 6.0, sections 3 (strips) and 15 (tiles).
"""

import math
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from segtrain.errors import DataError
from segtrain.files import Window, container_of, readable, split_window

LARGEST_SEGMENT_BYTES = 2**28  # of a compressed tile or strip, which can only be unpacked as a whole
_GRAY, _RGB, _PALETTE, _YCBCR = (0, 1), 2, 3, 6  # PhotometricInterpretation
_JPEG = 7  # Compression; its codec turns YCbCr into RGB
_BITS = (1, 8, 16, 32, 64)
_kept: dict[str, tuple] = {}  # the last file that each function has read as a whole: (key, result)
_keeping = threading.Lock()
_latest = threading.local()


class TiffSegments:
    """The first page of an open TIFF, of which any rectangle can be read. `rows_together` are the rows of a tile or
    strip, 1 where an uncompressed strip is read row by row."""

    def __init__(self, file: tifffile.TiffFile):
        self._file, self.page = file, file.pages.first
        page = self.page
        self.height, self.width, self.bands = page.imagelength, page.imagewidth, page.samplesperpixel
        # A plain strip has any height, and often is the whole image: it is read row by row.
        encoding = (page.compression, page.predictor, page.fillorder)
        self.is_plain = not page.is_tiled and encoding == (1, 1, 1) and all(page.databytecounts)
        self.is_plain &= page.bitspersample in _BITS[1:]
        self._planes = self.bands if page.planarconfig == 2 else 1
        self._rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, self.height)
        self._columns = page.tilewidth if page.is_tiled else self.width
        self.rows_together = 1 if self.is_plain else self._rows

    @property
    def segment_bytes(self) -> int:
        """Bytes of a tile or strip once it is decoded."""
        return math.prod(self.page.chunks) * self.page.dtype.itemsize

    def decoded_pixels(self, window: Window) -> int:
        """Pixels that are decoded to read a window."""
        if self.is_plain:
            return window.width * window.height
        down, across = (
            min(-(-(first + length) // side) * side, whole) - first // side * side
            for first, length, side, whole in (
                (window.top, window.height, self._rows, self.height),
                (window.left, window.width, self._columns, self.width),
            )
        )
        return down * across

    def read(self, window: Window) -> NDArray:
        """The pixels of a window as they are stored, HWC. What tifffile and its codecs raise passes through."""
        pixels = np.zeros((window.height, window.width, self.bands), self.page.dtype)
        for plane in range(self._planes):
            target = pixels if self._planes == 1 else pixels[..., plane : plane + 1]
            (self._read_rows if self.is_plain else self._read_segments)(target, window, plane)
        return pixels

    def _read_rows(self, target: NDArray, window: Window, plane: int) -> None:
        page, file = self.page, self._file.filehandle
        before, values = plane * (len(page.dataoffsets) // self._planes), target.shape[2]
        pixel_bytes, stored = values * page.dtype.itemsize, page.dtype.newbyteorder(self._file.byteorder)
        for index in range(window.height):
            strip, row = divmod(window.top + index, page.rowsperstrip)
            file.seek(page.dataoffsets[before + strip] + (row * self.width + window.left) * pixel_bytes)
            data = file.read(window.width * pixel_bytes)
            if len(data) < window.width * pixel_bytes:
                raise ValueError("the file ends too early")
            target[index] = np.frombuffer(data, stored).reshape(window.width, values)

    def _read_segments(self, target: NDArray, window: Window, plane: int) -> None:
        across = -(-self.width // self._columns)
        before = plane * (len(self.page.dataoffsets) // self._planes)
        bottom, right = window.top + window.height, window.left + window.width
        for row in range(window.top // self._rows, -(-bottom // self._rows)):
            for column in range(window.left // self._columns, -(-right // self._columns)):
                segment = self._decode(before + row * across + column)
                top, left = row * self._rows, column * self._columns
                first_row, first_column = max(top, window.top), max(left, window.left)
                part = segment[first_row - top : bottom - top, first_column - left : right - left]
                start_row, start_column = first_row - window.top, first_column - window.left
                target[start_row : start_row + part.shape[0], start_column : start_column + part.shape[1]] = part

    def _decode(self, index: int) -> NDArray:
        """A tile or strip, HWC."""
        page, file = self.page, self._file.filehandle
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index]) if page.databytecounts[index] else None
        if data is not None and len(data) < page.databytecounts[index]:  # tifffile would fill it up
            raise ValueError("the file ends too early")
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.jpegtables else {}
        segment, _, shape = page.decode(data, index, **tables)
        return (np.full(shape, page.nodata, page.dtype) if segment is None else segment)[0]


class Storage(NamedTuple):
    """How windows of a file are read: `reason` says why it is read as a whole, empty where it is not, and `decoded` how
    many pixels are decoded for a pixel of a window, on average."""

    reason: str
    decoded: float


def find_storage(path: str, *, tile: int) -> Storage:
    """How windows of the image at a path, a file as a whole, are read. Raises DataError for a TIFF that is broken."""
    return _find_storage(path, tile, _state_of(path))


@lru_cache(maxsize=4096)
def _find_storage(path: str, tile: int, _: tuple[int, ...]) -> Storage:
    if path.lower().endswith(".npy"):
        return Storage("", 1)
    source = readable(path)
    with open(source, "rb") if isinstance(source, str) else source as file:
        if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return Storage("it is not a TIFF", math.inf)
    with tifffile.TiffFile(readable(path)) as file:
        if reason := _why_whole(file):
            return Storage(reason, math.inf)
        segments = TiffSegments(file)
        columns, rows = min(tile, segments.width), min(tile, segments.height)
        middle = Window(segments.width // columns // 2 * columns, segments.height // rows // 2 * rows, columns, rows)
        middle = middle._replace(left=min(middle.left, segments.width - columns))
        middle = middle._replace(top=min(middle.top, segments.height - rows))
        return Storage("", segments.decoded_pixels(middle) / (columns * rows))


def _state_of(path: str) -> tuple[int, ...]:
    state = os.stat(container_of(path))
    return state.st_size, state.st_mtime_ns


def _why_whole(file: tifffile.TiffFile) -> str:
    page = file.pages.first
    ycbcr = page.photometric == _YCBCR and page.compression == _JPEG
    if len(file.series[0].pages) > 1 or page.imagedepth > 1:
        return "its bands are in several pages"
    if page.photometric not in (*_GRAY, _RGB, _PALETTE) and not ycbcr:
        return f"its colors are {getattr(page.photometric, 'name', page.photometric)}"
    if page.bitspersample not in _BITS or page.dtype is None or (page.bitspersample == 1 and page.photometric != 1):
        return f"it has {page.bitspersample} bits"
    if not TiffSegments(file).is_plain and TiffSegments(file).segment_bytes > LARGEST_SEGMENT_BYTES:
        return "it is compressed as one strip"
    return ""


def read_window(read: Callable, path: str, *arguments: Any, **options: Any) -> Any:
    """What a function of images.reading, which gives HW.. pixels alone or as a field, gives for the path of a window.

    It is asked for the window where that can be cut out of the file (see cut_window), else for the whole file, which is
    kept until it reads another one."""
    whole, window = split_window(path)
    try:
        if not find_storage(whole, tile=max(window.width, window.height)).reason:
            return read(path, *arguments, **options)
    except FileNotFoundError as error:
        raise DataError(f"{whole}: does not exist") from error
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        raise DataError(f"{whole}: cannot be read as a TIFF: {' '.join(str(error).split())}") from error
    key = (whole, _state_of(whole), arguments, options)
    with _keeping:
        known, found = _kept.get(read.__name__, (None, None))
        if known != key:
            _kept.pop(read.__name__, None)  # not two of them in memory
            found = read(whole, *arguments, **options)
            _kept[read.__name__] = key, found
    pixels = found if isinstance(found, np.ndarray) else found.pixels
    require_inside(window, *pixels.shape[:2], whole)
    pixels = pixels[window.rows, window.columns]
    return pixels if isinstance(found, np.ndarray) else found._replace(pixels=pixels)


def require_inside(window: Window, height: int, width: int, path: str) -> None:
    """Raises DataError where a window is not inside of its image."""
    if not (window.left + window.width <= width and window.top + window.height <= height and min(window[2:]) > 0):
        raise DataError(
            f"{path}: is {width} x {height} pixels; the window #xywh={','.join(map(str, window))} is outside it"
        )


def cut_window(path: str) -> BytesIO:
    """The window of a TIFF as a file of its own: uncompressed, with the same kind of pixels, colors, value for no data
    and orientation, so that it is read as the whole would be. Raises DataError, and whatever tifffile raises."""
    whole, window = split_window(path)
    key = path, _state_of(whole)
    if getattr(_latest, "key", None) != key:  # a file may be opened twice, by Pillow and by tifffile
        _latest.content, _latest.key = _cut(whole, window), key
    return BytesIO(_latest.content)


def _cut(path: str, window: Window) -> bytes:
    with tifffile.TiffFile(readable(path)) as file:
        segments = TiffSegments(file)
        page = segments.page
        orientation, nodata = page.tags.valueof("Orientation", 1), page.tags.valueof("GDAL_NODATA")
        stored = _as_stored(window, orientation, segments.height, segments.width, path)
        pixels = segments.read(stored)
        tags: list[tuple] = [] if orientation == 1 else [(274, 3, 1, int(orientation), True)]
        tags += [(42113, 2, len(nodata) + 1, nodata, True)] if isinstance(nodata, str) else []
        options: dict[str, Any] = {"photometric": _RGB if page.photometric == _YCBCR else int(page.photometric)}
        if page.photometric == _PALETTE:
            options["colormap"] = page.colormap
        if pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        else:
            options |= {"planarconfig": "contig", "extrasamples": page.extrasamples or None}
    target = BytesIO()
    tifffile.imwrite(target, pixels, metadata=None, extratags=tags, software=False, **options)
    return target.getvalue()


def _as_stored(window: Window, orientation: int, height: int, width: int, path: str) -> Window:
    """The rectangle of the stored pixels, height x width, that is the window once it is turned (bands.upright)."""
    left, top, columns, rows = window
    on_its_side = orientation in (5, 6, 7, 8)
    shown_height, shown_width = (width, height) if on_its_side else (height, width)
    require_inside(window, shown_height, shown_width, path)
    if orientation in (2, 3, 6, 7):
        left = shown_width - left - columns
    if orientation in (3, 4, 7, 8):
        top = shown_height - top - rows
    return Window(top, left, rows, columns) if on_its_side else Window(left, top, columns, rows)
