"""Region losses: 1 - a score from soft counts over the whole batch: Dice, Jaccard, Tversky, Matthews correlation."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss, check_range, divide, to_layers

_SMALLEST_SCORE = 1e-7


def compute_soft_counts(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over batch and space per class, shape (C,): probability on true pixels, probability, true pixels.

    They are the soft TP, TP + FP and TP + FN. target is (N, H, W) for softmax, or of the logits' shape for sigmoid.
    """
    if target.shape == logits.shape:
        probs, positive = logits.sigmoid() * valid, (target * valid).float()
        return (probs * positive).sum((0, 2, 3)), probs.sum((0, 2, 3)), positive.sum((0, 2, 3))
    probs = logits.softmax(1) * valid.unsqueeze(1)
    hits = probs.gather(1, target.unsqueeze(1)).squeeze(1)

    def sum_by_class(values: Tensor) -> Tensor:
        # One sum per image and column first: short sums keep float32 exact, and neighbors do not collide on a GPU.
        bins = values.new_zeros(logits.shape[0], logits.shape[1], logits.shape[3])
        return bins.scatter_add(1, target, values).sum((0, 2))

    return sum_by_class(hits), probs.sum((0, 2, 3)), sum_by_class(valid.float())


class _ScoreLoss(SegmentationLoss):
    """1 - a score per class, from sums over the whole batch; the mean over the classes that its mask holds."""

    whole_batch = False

    def __init__(
        self, mode: str, *, ignore_index: int = 255, smooth: float = 0.0, class_weights: list[float] | None = None
    ):
        super().__init__(mode, ignore_index=ignore_index)
        self.smooth = check_range("smooth", smooth)
        self.keep_class_weights(class_weights)

    def _average(self, values: Tensor, true: Tensor) -> Tensor:
        """The weighted mean of class losses, shape (C,), over the classes that have true pixels, also (C,)."""
        weights = self.check_class_weights(len(values))
        counted = (true > 0).float() if weights is None else (true > 0) * weights
        return divide((values * counted).sum(), counted.sum())

    def _score(self, hit: Tensor, wrong: Tensor) -> Tensor:
        return (hit + self.smooth) / (hit + wrong + self.smooth).clamp_min(_SMALLEST_SCORE)


class _RegionLoss(_ScoreLoss):
    """The score is one of the soft counts."""

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        hit, predicted, true = self.across(torch.stack(compute_soft_counts(logits, target, valid)))
        return self._average(self.compute_class_losses(hit, predicted - hit, true - hit), true)

    @abstractmethod
    def compute_class_losses(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        """Losses, shape (C,), of soft counts of shape (C,); finite, with a finite gradient, where all counts are 0."""


class DiceLoss(_RegionLoss):
    """1 - (TP + smooth) / (TP + (FP + FN) / 2 + smooth), as smp.losses.DiceLoss has it (Milletari et al. 2016, "V-Net",
    there with squares).

    TP, FP and FN are sums of probabilities over the batch and space, one per class. The loss is the mean over the
    classes that the batch's mask holds: a class that is absent does not count (in smp it counts as a perfect one).

    Args:
        smooth: added to numerator and denominator, in pixels.
        log_loss: -log(score) instead of 1 - score.
        class_weights: factors of the classes in the mean; multiclass and multilabel.
    """

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        smooth: float = 0.0,
        log_loss: bool = False,
        class_weights: list[float] | None = None,
    ):
        super().__init__(mode, ignore_index=ignore_index, smooth=smooth, class_weights=class_weights)
        self.log_loss = log_loss

    def compute_class_losses(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        score = self._score(tp, (fp + fn) / 2)
        return -score.clamp_min(_SMALLEST_SCORE).log() if self.log_loss else 1 - score


class JaccardLoss(_RegionLoss):
    """1 - (TP + smooth) / (TP + FP + FN + smooth), with the counts, the mean and the arguments of DiceLoss (Rahman &
    Wang 2016, "Optimizing intersection-over-union in deep neural networks")."""

    def compute_class_losses(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        return 1 - self._score(tp, fp + fn)


class TverskyLoss(_RegionLoss):
    """(mean of 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth))^gamma, with the counts and the mean of DiceLoss
    (Salehi et al. 2017, "Tversky loss function for image segmentation"; gamma as in smp.losses.TverskyLoss)."""

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        smooth: float = 0.0,
        class_weights: list[float] | None = None,
    ):
        super().__init__(mode, ignore_index=ignore_index, smooth=smooth, class_weights=class_weights)
        self.alpha, self.beta = check_range("alpha", alpha), check_range("beta", beta)
        self.gamma = check_range("gamma", gamma)

    def compute_class_losses(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        return 1 - self._score(tp, self.alpha * fp + self.beta * fn)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        loss = super().compute_loss(logits, target, valid)
        return loss if self.gamma == 1 else _safe_power(loss, self.gamma)


class FocalTverskyLoss(TverskyLoss):
    """Mean of (1 - Tversky score)^(1 / gamma) over the classes (Abraham & Khan 2019, "A novel focal Tversky loss
    function with improved attention U-Net"), with the counts of DiceLoss.

    alpha is the factor of false positives and beta of false negatives, as in TverskyLoss; the paper has the letters the
    other way round. The defaults are the paper's: 0.7 for false negatives and gamma 4/3.
    """

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        smooth: float = 0.0,
        class_weights: list[float] | None = None,
    ):
        super().__init__(
            mode, ignore_index=ignore_index, alpha=alpha, beta=beta, smooth=smooth, class_weights=class_weights
        )
        if gamma <= 0:
            raise ValueError(f"gamma is {gamma}, but must be above 0")
        self.exponent = 1 / gamma

    def compute_class_losses(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        return _safe_power(super().compute_class_losses(tp, fp, fn), self.exponent)


class CLDiceLoss(_ScoreLoss):
    """1 - the Dice score of centerlines (Shit et al. 2021, "clDice, a novel topology-preserving loss function for
    tubular structure segmentation"): for vessels, roads, cracks, wires, where a gap of a pixel is a fault.

    Soft skeletons of the probabilities and of the mask are what erosion and dilation, by pooling, take away. The score
    is the harmonic mean of the share of the predicted skeleton that lies in the mask, and of the true one that lies in
    the probabilities; both are sums over the batch, and the loss is the mean over the classes that its mask holds. The
    paper adds it to a Dice loss. Ignored pixels neither erode nor dilate.

    Args:
        iterations: erosions; half the width of the widest structure, in pixels.
        smooth: added to numerators and denominators, in pixels.
        class_weights: factors of the classes in the mean; 0 leaves those out that are not thin. Not in binary.
    """

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        iterations: int = 3,
        smooth: float = 1.0,
        class_weights: list[float] | None = None,
    ):
        super().__init__(mode, ignore_index=ignore_index, smooth=smooth, class_weights=class_weights)
        if iterations < 0:
            raise ValueError(f"iterations is {iterations}, but must be 0 or more")
        self.iterations = iterations

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        probs, there, valid = to_layers(logits, target, valid)
        probs, there = probs * valid, (there & valid).float()
        predicted, true = (self.compute_skeleton(layers, valid) for layers in (probs, there))
        pairs = ((predicted, there), (true, probs))
        sums = [skeleton * part for skeleton, layers in pairs for part in (layers, 1 - layers)]
        *counts, pixels = self.across(torch.stack([each.sum((0, 2, 3)) for each in (*sums, there)]))
        precision, recall = self._score(*counts[:2]), self._score(*counts[2:])
        values = 1 - 2 * precision * recall / (precision + recall).clamp_min(_SMALLEST_SCORE)
        return self._average(values, pixels)

    def compute_skeleton(self, layers: Tensor, valid: Tensor) -> Tensor:
        """Soft skeletons, 0..1, of `layers` (N, C, H, W) of 0..1, which are 0 where `valid` (bool, same shape) is
        False."""
        skeleton = torch.zeros_like(layers)
        for _ in range(self.iterations + 1):
            eroded = self._erode(layers, valid)
            rest = (layers - functional.max_pool2d(eroded, 3, 1, 1)).relu() * valid
            skeleton = skeleton + (rest - skeleton * rest).relu()
            layers = eroded
        return skeleton

    @staticmethod
    def _erode(layers: Tensor, valid: Tensor) -> Tensor:
        inverse = (1 - layers) * valid  # 0 changes no maximum
        pooled = (functional.max_pool2d(inverse, side, 1, [s // 2 for s in side]) for side in ((3, 1), (1, 3)))
        return (1 - torch.maximum(*pooled)) * valid


def _safe_power(values: Tensor, exponent: float) -> Tensor:
    """values ** exponent with a gradient of 0 instead of infinity at 0, where an exponent below 1 has no other."""
    positive = values > _SMALLEST_SCORE
    return torch.where(positive, torch.where(positive, values, 1.0) ** exponent, 0.0)


class MCCLoss(SegmentationLoss):
    """1 - the Matthews correlation coefficient of soft counts over the batch and space.

    In multiclass it is R_K, the correlation of all classes at once (Gorodkin 2004, "Comparing two K-category
    assignments by a K-category correlation coefficient"), in binary its case of two classes (Abhishek & Hamarneh 2021,
    "Matthews correlation coefficient loss for deep convolutional networks"). Where it is not defined, as with one
    class alone in the mask, the coefficient is taken as 0 and the loss is 1.
    """

    modes = ("multiclass", "binary")
    whole_batch = False

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        pixels = self.across(valid.sum())
        counts = self.across(torch.stack(compute_soft_counts(logits, target, valid)))
        hit, predicted, true = divide(counts, pixels)
        covariance = (hit - predicted * true).sum()
        variances = (predicted * (1 - predicted)).sum() * (true * (1 - true)).sum()
        defined = variances > 1e-12
        coefficient = covariance / torch.where(defined, variances, 1.0).sqrt()
        return (1 - torch.where(defined, coefficient, 0.0)) * (pixels > 0)
