"""PNG and JPEG files, written fast.

Indices and colours of classes are long runs: zlib's runs alone take a quarter of the time of its search. Probabilities
end in noise: libdeflate's fastest level takes half the time of OpenCV's for the same bytes (measured on photographs).
What is only for looking at is a JPEG: a quarter of libdeflate's time, and a third of the bytes.
"""

import struct
import zlib
from collections.abc import Sequence

import imagecodecs
import numpy as np

GREY, RGB, PALETTE = 0, 2, 3  # colour types, and NO_FILTER and UP filter types, of the PNG specification
NO_FILTER, UP = 0, 2
JPEG_QUALITY = 95
JPEG_MOST_PX = 65_500  # of a side, in libjpeg-turbo


def encode_indices(mask: np.ndarray, palette: Sequence[tuple[int, int, int]] | None = None) -> bytes:
    """HW uint8, or uint16 without a palette, as a grey PNG or one with these at most 256 colours."""
    packed = zlib.compressobj(1, strategy=zlib.Z_RLE)
    rows = _filtered(mask, NO_FILTER)
    return _file(mask, GREY if palette is None else PALETTE, packed.compress(rows) + packed.flush(), palette)


def encode_picture(pixels: np.ndarray) -> bytes:
    """What varies smoothly, HW uint8 or uint16, or HWC uint8 RGB, as a PNG."""
    rows = _filtered(pixels, UP)
    return _file(pixels, GREY if pixels.ndim == 2 else RGB, imagecodecs.deflate_encode(rows, level=1))


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """HWC uint8 RGB as a JPEG with colours as sharp as its brightness; every so manieth pixel of what is too long for
    the format."""
    step = -(-max(pixels.shape[:2]) // JPEG_MOST_PX)
    reduced = np.ascontiguousarray(pixels[::step, ::step])
    return imagecodecs.jpeg8_encode(reduced, level=JPEG_QUALITY, subsampling="444")


def _filtered(pixels: np.ndarray, filter_type: int) -> np.ndarray:
    """The bytes of each row behind its filter type: as they are, or as the difference to the row above."""
    big_endian = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows = big_endian.view(np.uint8).reshape(len(pixels), -1)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = filter_type
    filtered[:, 1:] = rows
    if filter_type == UP:
        filtered[1:, 1:] -= rows[:-1]
    return filtered


def _file(
    pixels: np.ndarray, color_type: int, packed: bytes, palette: Sequence[tuple[int, int, int]] | None = None
) -> bytes:
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, color_type, 0, 0, 0)
    colors = b"" if palette is None else _chunk(b"PLTE", np.array(palette, np.uint8).tobytes())
    parts = [_chunk(b"IHDR", header), colors, _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join(
        [struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))]
    )
