"""Losses of single pixels, averaged over those that are not ignored: cross entropy, binary cross entropy, focal."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss, check_range


class PixelLoss(SegmentationLoss):
    """A mean over pixels: a sum over them, divided by what `divisor` gives."""

    whole_batch = False

    @abstractmethod
    def sum_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """The sum over the valid pixels, a float32 scalar; the arguments are those of compute_loss."""

    def divisor(self, target: Tensor, valid: Tensor) -> Tensor:
        """The number of valid pixels, or the sum of their weights, a scalar."""
        return valid.sum()

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        return self.average(self.sum_loss(logits, target, valid), self.divisor(target, valid))

    def count(self, mask: Tensor) -> Tensor:
        """See SegmentationLoss."""
        return self.across(self.divisor(*self.split(mask)))


class CrossEntropyLoss(PixelLoss):
    """Softmax cross entropy as torch.nn.CrossEntropyLoss has it: with class_weights, the sum is divided by the sum of
    the weights of the pixels' classes.

    Args:
        label_smoothing: share of the target that goes to all classes alike, 0..1.
        class_weights: one factor per class.
        ohem: online hard example mining (Shrivastava et al. 2016, "Training region-based object detectors with online
            hard example mining"; for pixels Wu et al. 2016, "Bridging category-level and instance-level semantic image
            segmentation"): pixels alone count whose right class has a probability below this, 0..1.
        min_kept: with ohem at least so many pixels of a batch count, those of the lowest probability; below 1, that
            share of them.
    """

    modes = ("multiclass",)

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
        ohem: float | None = None,
        min_kept: float = 1 / 16,
    ):
        super().__init__(mode, ignore_index=ignore_index)
        self.label_smoothing = check_range("label_smoothing", label_smoothing, high=1.0)
        self.ohem = None if ohem is None else check_range("ohem", ohem, high=1.0)
        self.whole_batch = ohem is not None
        self.min_kept = check_range("min_kept", min_kept)
        self.keep_class_weights(class_weights)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        return super().compute_loss(logits, target, valid if self.ohem is None else self._mine(logits, target, valid))

    @torch.no_grad()
    def _mine(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """The hard pixels among those that are valid, bool of the mask's shape."""
        probs = logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
        probs = probs.masked_fill(~valid, 2.0)  # behind all that are valid
        least = valid.sum() * self.min_kept if self.min_kept < 1 else torch.tensor(self.min_kept, device=probs.device)
        index = least.ceil().long().clamp(1, probs.numel()) - 1
        bound = probs.flatten().sort().values.gather(0, index.view(1))
        return valid & ((probs < self.ohem) | ((probs <= bound) & (least > 0)))

    def count(self, mask: Tensor) -> Tensor | None:
        """See SegmentationLoss; which pixels are hard is not known before the logits are."""
        return super().count(mask) if self.ohem is None else None

    def sum_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        return functional.cross_entropy(
            logits,
            target.masked_fill(~valid, -100),
            weight=self.check_class_weights(logits.shape[1]),
            ignore_index=-100,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )

    def divisor(self, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        return _pixel_weights(self.class_weights, target, valid).sum()


class BCEWithLogitsLoss(PixelLoss):
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

    def sum_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        if self.pos_weight is not None and len(self.pos_weight) not in (1, logits.shape[1]):
            raise ValueError(f"pos_weight has {len(self.pos_weight)} numbers for {logits.shape[1]} channels")
        soft = target.float() * (1 - 2 * self.smooth_factor) + self.smooth_factor
        values = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=self.pos_weight, reduction="none")
        return (values * valid).sum()


class FocalLoss(PixelLoss):
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
            raise ValueError("alpha weights positives against negatives; for multiclass use class_weights")
        if class_weights is not None and mode == "multilabel":
            raise ValueError("class_weights is for multiclass; use alpha")
        self.gamma = check_range("gamma", gamma)
        self.alpha = None if alpha is None else check_range("alpha", alpha, high=1.0)
        self.keep_class_weights(class_weights)

    def sum_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        if self.mode == "multiclass":
            factors = _pixel_weights(self.check_class_weights(logits.shape[1]), target, valid)
            log_p = logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
        else:
            factors = valid
            if self.alpha is not None:
                factors = valid * torch.where(target == 1, self.alpha, 1 - self.alpha)
            log_p = functional.logsigmoid(torch.where(target == 1, logits, -logits))
        # The root of 0 has no finite gradient, which a gamma below 1 would meet at p = 1.
        miss = (-torch.expm1(log_p)).clamp_min(1e-12)
        return (-(miss**self.gamma) * log_p * factors).sum()

    def divisor(self, target: Tensor, valid: Tensor) -> Tensor:
        """See PixelLoss."""
        return _pixel_weights(self.class_weights, target, valid).sum() if self.mode == "multiclass" else valid.sum()


def _pixel_weights(weights: Tensor | None, target: Tensor, valid: Tensor) -> Tensor:
    return valid.float() if weights is None else weights[target] * valid
