"""Semantic encoding loss: which classes are in an image.

Zhang et al. 2018, "Context Encoding for Semantic Segmentation", https://arxiv.org/abs/1803.08904, section 3.1; they add
it with a coef of 0.2.
"""

import torch
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss


class SELoss(SegmentationLoss):
    """Binary cross entropy of the presence of classes, the mean over images and classes; large and small objects count
    the same. Images with nothing but ignored pixels count nowhere.

    It takes `presence`, logits (N, classes) that EncNet has in training. Where classes overlap, an image counts for
    those of which it has pixels that are not ignored.
    """

    modes = ("multiclass", "multilabel")
    takes = "presence"
    whole_batch = False

    def forward(self, presence: Tensor, mask: Tensor) -> Tensor:
        """The loss, a float32 scalar."""
        axes, layout = (3, "(N, H, W)") if self.mode == "multiclass" else (4, "(N, C, H, W)")
        same = axes - 2  # the axes that both have
        if presence.ndim != 2 or mask.ndim != axes or presence.shape[:same] != mask.shape[:same]:
            shapes = f"{tuple(presence.shape)} and {tuple(mask.shape)}"
            raise ValueError(f"{self.mode} expects presence (N, C) and a mask {layout}, not {shapes}")
        with torch.autocast(presence.device.type, enabled=False):
            return self.compute_loss(presence.float(), *self.split(mask))

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """As in the base, of logits (N, classes)."""
        if self.mode == "multiclass":
            classes = logits.shape[1]
            found = target.masked_fill(~valid, classes).flatten(1)  # the ignored pixels in a place of their own
            present = logits.new_zeros(len(logits), classes + 1).scatter(1, found, 1.0)[:, :classes]
            counted = valid.flatten(1).any(1, keepdim=True).expand_as(logits)
        else:
            present = ((target == 1) & valid).flatten(2).any(2).float()
            counted = valid.flatten(2).any(2)
        each = functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
        return self.average((each * counted).sum(), counted.sum())
