"""Image files of every kind, for the tests of what reads them."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from segtrain.errors import DataError
from segtrain.images.reading import read_image


def save(path, pixels, *, alpha=False):
    """HW or HWC pixels of any type as .npy, .tif or .png; with `alpha` the last channel is opacity."""
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(np.squeeze(pixels)))
    else:
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        photometric = "rgb" if channels > 2 else "minisblack"
        planes = {"planarconfig": "contig"} if channels > 1 else {}
        extra = {"extrasamples": ["unassalpha"]} if alpha else {}
        pixels = pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels
        tifffile.imwrite(path, pixels, photometric=photometric, **planes, **extra)
    return path


def error_of(path, **arguments):
    with pytest.raises(DataError) as error:
        read_image(path, **arguments)
    return str(error.value).replace(str(path), "F")
