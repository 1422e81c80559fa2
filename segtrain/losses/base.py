"""Base of the losses, and their contract.

Logits are (N, C, H, W) of any floating type; the loss is computed in float32 whatever
the autocast. The mask is integer: (N, H, W) with classes 0..C-1 in mode multiclass, (N, H, W) with 0 and 1 in mode
binary (where C is 1), (N, C, H, W) with 0 and 1 in mode multilabel. Pixels with ``ignore_index`` count nowhere, neither
in a numerator nor in a denominator; nothing but ignored pixels gives a loss of 0 with a gradient of 0. A mask that does
not fit the logits raises ValueError with both shapes. No loss makes the host wait for the device.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.distributed import sum_all
from segtrain.errors import ConfigError


class SegmentationLoss(nn.Module, ABC):
    """What all losses do before their formula: check shapes, leave autocast, remove ignored pixels."""

    modes: ClassVar[tuple[str, ...]] = ("multiclass", "binary", "multilabel")
    takes: ClassVar[str] = "logits"  # or the key of an output that some networks have in training, see WeightedLoss
    whole_batch = True  # it has to see the batches of all processes at once; False where sums go through `across`

    def __init__(self, mode: str, *, ignore_index: int = 255):
        super().__init__()
        if mode not in self.modes:
            what = {"binary": "one class is binary", "multilabel": "classes overlap"}.get(mode)
            hint = f"; {what}: use BCEWithLogitsLoss" if what else ""
            raise ConfigError(f"loss.{type(self).__name__}: no mode {mode!r}; it has: {', '.join(self.modes)}{hint}")
        self.mode, self.ignore_index = mode, ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """The loss, a float32 scalar."""
        check_shapes(logits, mask, self.mode)
        target, valid = self.split(mask)
        channels_valid = valid.unsqueeze(1) if self.mode == "multiclass" else valid
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute_loss(logits.float().masked_fill(~channels_valid, 0.0), target, valid)

    def split(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """target (int64) and valid (bool), as compute_loss expects them."""
        mask = mask.unsqueeze(1) if self.mode == "binary" else mask
        ignored = mask == self.ignore_index
        return mask.long().masked_fill(ignored, 0), ~ignored

    def count(self, mask: Tensor) -> Tensor | None:
        """The divisor of the loss for a batch with this mask, a scalar; None if it is not a mean over pixels."""
        return None

    def across(self, sums: Tensor) -> Tensor:
        """Sums over the batch; during training, over the batches of all processes."""
        return sum_all(sums) if self.training else sums

    def average(self, total: Tensor, count: Tensor) -> Tensor:
        """The mean over the counted items of the batch, during training of all processes; 0 if there are none."""
        return divide(self.across(total), self.across(count))

    @abstractmethod
    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """The loss of float32 logits; target (int64) and valid (bool) have the shape of the mask, binary (N, 1, H,
        W)."""

    def keep_class_weights(self, class_weights: list[float] | None) -> None:
        if class_weights is not None and self.mode == "binary":
            raise ValueError("class_weights have no effect in mode binary")
        if isinstance(class_weights, str):
            raise ValueError(f"class_weights {class_weights!r} is a name, which only build_loss resolves; give numbers")
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights)

    def check_class_weights(self, classes: int) -> Tensor | None:
        if self.class_weights is not None and self.class_weights.shape != (classes,):
            raise ValueError(f"class_weights has {len(self.class_weights)} numbers for {classes} classes")
        return self.class_weights


def check_shapes(logits: Tensor, mask: Tensor, mode: str) -> None:
    """Raise ValueError with both shapes if the mask does not match the logits: broadcasting would hide it."""
    if logits.ndim == 4 and (mode != "binary" or logits.shape[1] == 1):
        expected = logits.shape if mode == "multilabel" else logits.shape[:1] + logits.shape[2:]
        if mask.shape == expected:
            return
    layout = {
        "multiclass": "(N, C, H, W) and a mask (N, H, W)",
        "binary": "(N, 1, H, W) and a mask (N, H, W)",
        "multilabel": "(N, C, H, W) and a mask (N, C, H, W)",
    }
    raise ValueError(f"{mode} expects logits {layout[mode]}, not {tuple(logits.shape)} and {tuple(mask.shape)}")


def to_layers(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (float32), whether each class is present, and whether the pixel counts, all (N, C, H, W)."""
    if target.shape == logits.shape:
        return logits.sigmoid(), target == 1, valid
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, 1, 1)
    return logits.softmax(1), target.unsqueeze(1) == classes, valid.unsqueeze(1).expand_as(logits)


def divide(total: Tensor, count: Tensor) -> Tensor:
    """total / count; 0 if nothing was counted and so total is 0."""
    return total / torch.where(count > 0, count, 1)


def check_range(name: str, value: float, *, high: float = float("inf")) -> float:
    if not 0 <= value <= high:
        raise ValueError(f"{name} is {value}, but must be {'0 or more' if high == float('inf') else f'in 0..{high:g}'}")
    return value


def nearest(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The mask, (N, H, W) or (N, C, H, W), at another height and width; classes cannot be averaged."""
    if mask.shape[-2:] == size:
        return mask
    as_maps = mask if mask.ndim == 4 else mask.unsqueeze(1)
    smaller = functional.interpolate(as_maps.float(), size, mode="nearest-exact").to(mask.dtype)
    return smaller if mask.ndim == 4 else smaller.squeeze(1)
