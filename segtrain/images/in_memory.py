"""Images in memory: pictures of Pillow and arrays, taken as files of them would be read."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from segtrain.errors import DataError, reason_of
from segtrain.images.bands import Bands, require_image, to_image
from segtrain.images.reading import bands_of

NAME = "the image"  # what errors call it


def take_image(
    image: Image.Image | np.ndarray,
    *,
    channels: int = 3,
    scale: float | None = None,
    bands: Sequence[int] | None = None,
) -> np.ndarray:
    """An image as read_image gives it, which says what `channels`, `scale` and `bands` mean.

    Args:
        image: a picture of Pillow in any mode, whose EXIF orientation is applied, or an array HWC or HW, in which three
            channels are RGB and one is gray.

    Raises DataError for what is not an image, and for one that has other channels or values than the model takes.
    """
    if isinstance(image, Image.Image):
        try:
            image.load()
        except Exception as error:  # whatever Pillow raises for a broken file that it has opened
            raise DataError(f"{NAME}: cannot be read: {reason_of(error)}") from error
        raw = bands_of(image, NAME, channels=channels, all_bands=bands is not None or channels not in (1, 3))
    else:
        pixels = require_image(np.asarray(image), NAME)
        raw = Bands(pixels, pixels.shape[2] if pixels.shape[2] in (1, 3) else 0)
    return to_image(raw, NAME, channels=channels, scale=scale, bands=bands)
