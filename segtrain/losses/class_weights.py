"""Weights of the classes, computed from how often each occurs in the training masks."""

from collections.abc import Callable

import numpy as np

from segtrain.errors import ConfigError, DataError

CLASS_WEIGHT_METHODS = ("median_frequency", "enet", "inverse")
CountClasses = Callable[[], tuple[np.ndarray, np.ndarray] | None]


def compute_class_weights(method: str, class_pixels: np.ndarray, image_pixels: np.ndarray) -> np.ndarray:
    """One weight per class, float64 of shape (classes,); a class that never occurs gets 0.

    With p = class_pixels / sum(class_pixels):

    - ``median_frequency``: median(f) / f with f = class_pixels / image_pixels, the median taken over the classes that
      occur (Eigen & Fergus 2015, "Predicting depth, surface normals and semantic labels", section 4.3).
    - ``enet``: 1 / ln(1.02 + p) (Paszke et al. 2016, "ENet", section 5.2).
    - ``inverse``: 1 / p, scaled to a mean of 1 over the classes that occur.

    Args:
        method: one of the three names.
        class_pixels: pixels of each class in all masks, shape (classes,), ignored pixels not counted.
        image_pixels: pixels that are not ignored, of the images in which the class occurs, shape (classes,).

    Raises:
        ConfigError: the method is not known.
        DataError: no class has a pixel.
    """
    if method not in CLASS_WEIGHT_METHODS:
        raise ConfigError(f"class_weights: no method {method!r}; known: {', '.join(CLASS_WEIGHT_METHODS)}")
    pixels = np.asarray(class_pixels, dtype=np.float64)
    occurs = pixels > 0
    if not occurs.any():
        raise DataError(f"class_weights: {method}: the masks hold no pixel of any class")
    weights = np.zeros_like(pixels)
    if method == "median_frequency":
        frequency = pixels[occurs] / np.asarray(image_pixels, dtype=np.float64)[occurs]
        weights[occurs] = np.median(frequency) / frequency
    elif method == "enet":
        weights[occurs] = 1 / np.log(1.02 + pixels[occurs] / pixels.sum())
    else:
        weights[occurs] = 1 / pixels[occurs]
        weights /= weights[occurs].mean()
    return weights
