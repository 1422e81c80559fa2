"""Masks on the disk, for the tests of what reads them."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save(tmp_path):
    """Write an array (or a Pillow image) as a file, and give its path."""

    def save_as(array, name="mask.png", **arguments):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, array)
        else:
            picture = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
            picture.save(path, **arguments)
        return str(path)

    return save_as
