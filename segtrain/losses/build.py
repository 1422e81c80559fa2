"""The losses of segtrain, and `build_loss`, which makes the weighted sum that a configuration asks for.

Every class named ...Loss in this module's namespace can be written in a configuration. What they have in common is told
in segtrain/losses/base.py.
"""

import functools
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtrain.config.libraries import MODULES, find
from segtrain.errors import ConfigError
from segtrain.losses import weighted as weighted_loss
from segtrain.losses.base import SegmentationLoss, check_range, divide
from segtrain.losses.class_weights import CLASS_WEIGHT_METHODS, ClassStatistics, compute_class_weights
from segtrain.losses.lovasz import compute_lovasz_weights
from segtrain.losses.region import DiceLoss, FocalTverskyLoss, JaccardLoss, TverskyLoss, compute_soft_counts

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "JaccardLoss",
    "LovaszLoss",
    "MCCLoss",
    "TverskyLoss",
    "build_loss",
]


class CrossEntropyLoss(SegmentationLoss):
    """Softmax cross entropy as torch.nn.CrossEntropyLoss has it: with class_weights, the sum is divided by the sum of
    the weights of the pixels' classes."""

    modes = ("multiclass",)

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
    ):
        super().__init__(mode, ignore_index=ignore_index)
        self.label_smoothing = check_range("label_smoothing", label_smoothing, high=1.0)
        self.keep_class_weights(class_weights)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        weights = self.check_class_weights(logits.shape[1])
        total = F.cross_entropy(
            logits,
            target.masked_fill(~valid, -100),
            weight=weights,
            ignore_index=-100,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return divide(total, _pixel_weights(weights, target, valid).sum())


class BCEWithLogitsLoss(SegmentationLoss):
    """Sigmoid cross entropy, the mean over pixels (and channels, in multilabel).

    Args:
        pos_weight: factor of the positive pixels' part: a number, or one per channel (torch.nn.BCEWithLogitsLoss).
        smooth_factor: the target is 1 - smooth_factor instead of 1 and smooth_factor instead of 0
            (smp.losses.SoftBCEWithLogitsLoss).
    """

    modes = ("binary", "multilabel")

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        pos_weight: float | list[float] | None = None,
        smooth_factor: float = 0.0,
    ):
        super().__init__(mode, ignore_index=ignore_index)
        self.smooth_factor = check_range("smooth_factor", smooth_factor, high=1.0)
        weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32).view(-1, 1, 1)
        self.register_buffer("pos_weight", weight)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        if self.pos_weight is not None and len(self.pos_weight) not in (1, logits.shape[1]):
            raise ValueError(f"pos_weight is {len(self.pos_weight)} numbers for {logits.shape[1]} channels")
        soft = target.float() * (1 - 2 * self.smooth_factor) + self.smooth_factor
        values = F.binary_cross_entropy_with_logits(logits, soft, pos_weight=self.pos_weight, reduction="none")
        return divide((values * valid).sum(), valid.sum())


class FocalLoss(SegmentationLoss):
    """-(1 - p)^gamma log(p), the mean over pixels, with p the probability of the right class (Lin et al. 2017, "Focal
    loss for dense object detection"): by softmax in multiclass, by sigmoid in binary and multilabel.

    Args:
        gamma: 0 or more; 0 gives the cross entropy.
        alpha: factor of positive pixels, 1 - alpha of negative ones, 0..1; binary and multilabel only.
        class_weights: one factor per class, divided by as in CrossEntropyLoss; multiclass only.
    """

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        gamma: float = 2.0,
        alpha: float | None = None,
        class_weights: list[float] | None = None,
    ):
        super().__init__(mode, ignore_index=ignore_index)
        if alpha is not None and mode == "multiclass":
            raise ValueError("alpha weighs positives against negatives; in multiclass use class_weights")
        if class_weights is not None and mode == "multilabel":
            raise ValueError("class_weights are for multiclass; use alpha")
        self.gamma = check_range("gamma", gamma)
        self.alpha = None if alpha is None else check_range("alpha", alpha, high=1.0)
        self.keep_class_weights(class_weights)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        if self.mode == "multiclass":
            weights = self.check_class_weights(logits.shape[1])
            factors = total = _pixel_weights(weights, target, valid)
            log_p = logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
        else:
            factors = total = valid
            if self.alpha is not None:
                factors = valid * torch.where(target == 1, self.alpha, 1 - self.alpha)
            log_p = F.logsigmoid(torch.where(target == 1, logits, -logits))
        # The root of 0 has no finite gradient, which a gamma below 1 would meet at p = 1.
        miss = (-torch.expm1(log_p)).clamp_min(1e-12)
        return divide((-(miss**self.gamma) * log_p * factors).sum(), total.sum())


class LovaszLoss(SegmentationLoss):
    """The Lovasz extension of the Jaccard loss (Berman et al. 2018, "The Lovasz-Softmax loss").

    In multiclass of the errors of the softmax, the mean over the classes that the mask holds. In binary and multilabel
    the hinge max(0, 1 - logit * sign), the mean over the channels that have a pixel, whether or not they have a
    positive one. (smp.losses.LovaszLoss takes all channels of multilabel as one class.)

    Args:
        per_image: each image by itself, then the mean over the images that have a class to count.
    """

    def __init__(self, mode: str, *, ignore_index: int = 255, per_image: bool = False):
        super().__init__(mode, ignore_index=ignore_index)
        self.per_image = per_image

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        batch, classes = logits.shape[:2]
        if self.mode == "multiclass":
            foreground = target.unsqueeze(1) == torch.arange(classes, device=target.device).view(-1, 1, 1)
            valid = valid.unsqueeze(1).expand_as(logits)
            probs = logits.softmax(1)
            errors = torch.where(foreground, 1 - probs, probs)
            counted = foreground & valid
        else:
            foreground = target == 1
            errors = (1 - torch.where(foreground, logits, -logits)).relu()
            counted = valid

        def to_rows(values: Tensor) -> Tensor:
            if self.per_image:
                return values.reshape(batch * classes, -1)
            return values.transpose(0, 1).reshape(classes, -1)

        weights = compute_lovasz_weights(to_rows(errors.detach()), to_rows(foreground), to_rows(valid))
        groups = batch if self.per_image else 1
        values = (to_rows(errors) * weights).sum(1).view(groups, classes)
        counted = to_rows(counted).any(1).view(groups, classes)
        images = divide((values * counted).sum(1), counted.sum(1))
        return divide(images.sum(), counted.any(1).sum())


class MCCLoss(SegmentationLoss):
    """1 - the Matthews correlation coefficient of soft counts over the batch and space.

    In multiclass it is R_K, the correlation of all classes at once (Gorodkin 2004, "Comparing two K-category
    assignments by a K-category correlation coefficient"), in binary its case of two classes (Abhishek & Hamarneh 2021,
    "Matthews correlation coefficient loss for deep convolutional networks"). Where it is not defined, as with one
    class alone in the mask, the coefficient is taken as 0 and the loss is 1.
    """

    modes = ("multiclass", "binary")

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        pixels = valid.sum()
        hit, predicted, true = (divide(counts, pixels) for counts in compute_soft_counts(logits, target, valid))
        covariance = (hit - predicted * true).sum()
        variances = (predicted * (1 - predicted)).sum() * (true * (1 - true)).sum()
        defined = variances > 1e-12
        coefficient = covariance / torch.where(defined, variances, 1.0).sqrt()
        return (1 - torch.where(defined, coefficient, 0.0)) * (pixels > 0)


def build_loss(
    terms: Mapping[str, Any], *, mode: str, ignore_index: int, class_statistics: ClassStatistics | None
) -> weighted_loss.WeightedLoss:
    """The weighted sum of the named losses.

    Args:
        terms: by the name of a class, looked up in segtrain.losses.build, smp.losses and torch.nn, or by its dotted
            path: objects with coef (float), from_epoch (int) and arguments (dict).
        mode: "multiclass", "binary" or "multilabel".
        ignore_index: value of the mask's pixels that count nowhere.
        class_statistics: gives (class_pixels, image_pixels) as compute_class_weights takes them, or None; called once,
            and only if a term names a method for its class_weights. Without them these weights are left out.

    Raises:
        ConfigError: a name or an argument is wrong, or no term is active from the start.
    """
    statistics = functools.cache(class_statistics or (lambda: None))
    modules, class_weights = [], {}
    for name, term in terms.items():
        arguments = dict(term.arguments)
        weights = _resolve_class_weights(name, arguments.pop("class_weights", None), statistics)
        if weights is not None:
            arguments["class_weights"] = class_weights[name] = weights
        modules.append(_build_term(name, arguments, mode, ignore_index))
    return weighted_loss.WeightedLoss(
        list(terms),
        modules,
        coefs=[term.coef for term in terms.values()],
        from_epochs=[term.from_epoch for term in terms.values()],
        class_weights=class_weights,
    )


def _resolve_class_weights(name: str, given: Any, statistics: ClassStatistics) -> list[float] | None:
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
            raise ConfigError(f"loss.{name}.{key}: is taken from {source}; leave it out")
    target = find(name, MODULES["loss"])
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        raise ConfigError(f"loss.{name}: is not a class that derives from torch.nn.Module")
    if not issubclass(target, SegmentationLoss):
        return weighted_loss.ForeignLoss(name, target, arguments=arguments, mode=mode, ignore_index=ignore_index)
    try:
        return target(mode, ignore_index=ignore_index, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss.{name}: {error}") from error


def _pixel_weights(weights: Tensor | None, target: Tensor, valid: Tensor) -> Tensor:
    return valid.float() if weights is None else weights[target] * valid
