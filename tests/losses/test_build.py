from math import log

import numpy as np
import pytest

from segtrain.errors import ConfigError, DataError
from segtrain.losses.build import compute_class_weights

# Three classes in 100, 50 and 0 pixels; the images that hold them have 200, 200 and 0.
CLASS_PIXELS, IMAGE_PIXELS = np.array([100.0, 50.0, 0.0]), np.array([200.0, 200.0, 0.0])
CLASS_WEIGHTS = {
    "median_frequency": [0.375 / 0.5, 0.375 / 0.25, 0],  # frequencies 1/2 and 1/4, the median 3/8
    "enet": [1 / log(1.02 + 2 / 3), 1 / log(1.02 + 1 / 3), 0],
    "inverse": [1.5 / 2.25, 3 / 2.25, 0],  # 1.5 and 3, of mean 2.25
}


@pytest.mark.parametrize("method", CLASS_WEIGHTS)
def test_class_weights_by_hand(method):
    weights = compute_class_weights(method, CLASS_PIXELS, IMAGE_PIXELS)
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights, CLASS_WEIGHTS[method])


def test_median_frequency_leaves_out_the_images_without_the_class():
    # 50 pixels in images of 100: as frequent, where it occurs, as 100 in 200.
    weights = compute_class_weights("median_frequency", np.array([100, 50]), np.array([200, 100]))
    np.testing.assert_allclose(weights, [1, 1])


def test_class_weights_errors():
    with pytest.raises(ConfigError) as error:
        compute_class_weights("log", CLASS_PIXELS, IMAGE_PIXELS)
    assert str(error.value) == "class_weights: no method 'log'; known: median_frequency, enet, inverse"
    with pytest.raises(DataError) as error:
        compute_class_weights("enet", np.zeros(2), np.zeros(2))
    assert str(error.value) == "class_weights: enet: the masks have no pixels of any class"
