"""Building the loss: from the terms of a configuration to one weighted sum, class weights included."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import nn

from segtrain.config.libraries import find, fit_arguments
from segtrain.errors import ConfigError, DataError
from segtrain.losses.base import SegmentationLoss
from segtrain.losses.weighted import WeightedLoss

CLASS_WEIGHT_METHODS = ("median_frequency", "enet", "inverse")
CountClasses = Callable[[], tuple[np.ndarray, np.ndarray] | None]


def build_loss(
    terms: Mapping[str, Any],
    *,
    mode: str,
    ignore_index: int,
    class_statistics: CountClasses | None,
    aux: float = 0.0,
    gathers: bool = True,
) -> WeightedLoss:
    """The weighted sum of the named losses.

    Args:
        terms: by the name of a class, looked up in segtrain.losses, smp.losses and torch.nn, or by its dotted
            path: objects with coef (float), from_epoch (int) and arguments (dict).
        mode: "multiclass", "binary" or "multilabel".
        ignore_index: value of the mask's pixels that count nowhere.
        class_statistics: gives (class_pixels, image_pixels) as compute_class_weights takes them, or None; called once,
            and only if a term names a method for its class_weights. Without them these weights are left out.
        aux: factor of the sum of auxiliary outputs.
        gathers: see WeightedLoss.

    Raises:
        ConfigError: a name or an argument is wrong, or no term is active from the start.
    """
    statistics = functools.cache(class_statistics or (lambda: None))
    losses, class_weights = {}, {}
    for name, term in terms.items():
        arguments = dict(term.arguments)
        weights = _resolve_class_weights(name, arguments.pop("class_weights", None), statistics)
        if weights is not None:
            arguments["class_weights"] = class_weights[name] = weights
        losses[name] = _build_term(name, arguments, mode, ignore_index)
    return WeightedLoss(terms, losses, class_weights, aux=aux, gathers=gathers)


def _resolve_class_weights(name: str, given: Any, statistics: CountClasses) -> list[float] | None:
    if given is None:
        return None
    known = ", ".join(CLASS_WEIGHT_METHODS)
    if isinstance(given, str):
        if given not in CLASS_WEIGHT_METHODS:
            raise ConfigError(f"loss.{name}.class_weights: no method {given!r}; known: {known}")
        counts = statistics()
        return None if counts is None else compute_class_weights(given, *counts).tolist()
    try:
        return [float(weight) for weight in given]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss.{name}.class_weights: {given!r} is neither a list of numbers nor {known}") from error


def _build_term(name: str, arguments: dict[str, Any], mode: str, ignore_index: int) -> nn.Module:
    for key, source in (("mode", "the data's mode"), ("ignore_index", "data.ignore_index")):
        if key in arguments:
            raise ConfigError(f"loss.{name}.{key}: is set from {source}; remove it")
    target = find("loss", name)
    if not issubclass(target, SegmentationLoss):
        from segtrain.losses.foreign import ForeignLoss

        return ForeignLoss(name, target, arguments=arguments, mode=mode, ignore_index=ignore_index)
    arguments = fit_arguments(target, arguments, path=f"loss.{name}")
    try:
        return target(mode, ignore_index=ignore_index, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss.{name}: {error}") from error


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
        raise DataError(f"class_weights: {method}: the masks have no pixels of any class")
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
