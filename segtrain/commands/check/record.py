"""Records: what is kept of a pair of files once it has been looked at: some kilobytes, whatever its size."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segtrain.formats.sample import Sample

THUMBNAIL_PX = 32
KEPT_VALUES = 300


class ImageRecord(NamedTuple):
    """An image, as it is shown: height and width with the EXIF orientation applied.

    `low` and `high` are its smallest and largest value, without those that are not finite or that the file itself notes
    as no data; `used_bits` is the bitwise or of all values of integers wider than 8 bits, else 0; `mean` and `square`
    are means of the values and of their squares, one per channel. `thumbnail` is THUMBNAIL_PX squared bytes of grey.
    """

    height: int
    width: int
    channels: int
    dtype: str
    file_type: str
    orientation: int
    low: float
    high: float
    used_bits: int
    mean: tuple[float, ...]
    square: tuple[float, ...]
    digest: bytes
    hash: int
    thumbnail: bytes

    @property
    def is_flat(self) -> bool:
        """Whether all its pixels are the same."""
        return self.low == self.high


class MaskRecord(NamedTuple):
    """A mask: which values it holds, HW integers or colours that are packed into one number (see claims.pack_color).

    The KEPT_VALUES values with most pixels are kept, `codes` int64 (n,); `counts` int64 (n, 3) are their pixels, those
    of them in a square of 2 x 2 equal ones (lower and right neighbours), and those in the outermost frame. `tones`
    float32 (n, 3) are the mean colour of the image below them, nan where that is not known. `palette` int64 (n,) are
    the packed colours of a palette's indices.
    """

    height: int
    width: int
    file_type: str
    dtype: str
    is_color: bool
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    tones: NDArray[np.float32]
    palette: NDArray[np.int64] | None = None
    further_values: int = 0
    further_pixels: int = 0

    @property
    def colors(self) -> NDArray[np.int64]:
        """The packed colours (n,) that the values are when the mask is read as RGB."""
        if self.is_color:
            return self.codes
        return self.codes * 0x010101 if self.palette is None else self.palette


class Record(NamedTuple):
    """All that is known of one sample. What could not be read is None, with the reason in one line. `fit` is that of
    examine.compute_fit, for images that EXIF turns."""

    split: str
    sample: Sample
    image: ImageRecord | None = None
    mask: MaskRecord | None = None
    image_error: str = ""
    mask_error: str = ""
    fit: float = math.nan

    @property
    def is_pair(self) -> bool:
        """Whether both files were read, and have one size."""
        image, mask = self.image, self.mask
        return image is not None and mask is not None and (image.height, image.width) == (mask.height, mask.width)

    @property
    def has_mask_files(self) -> bool:
        """Whether the mask is files of its own, which can be changed, and not part of an annotation."""
        return "\t" not in self.sample.mask


def pack_colors(colors: NDArray) -> NDArray[np.int32]:
    """RGB colours (.., 3), 0..255, as one number each, (..,)."""
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def split_colors(codes: NDArray) -> NDArray:
    """Packed colours (..,) as RGB (.., 3)."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def as_written(code: int, *, as_color: bool) -> int | list[int]:
    """A value, or a packed colour as [r, g, b]: as an experiment has it."""
    return split_colors(np.asarray(code)).tolist() if as_color else code
