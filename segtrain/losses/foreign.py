"""Losses of other libraries, and the user's own: the wrapper that lets them into the weighted sum."""

import inspect

import torch
from torch import Tensor, nn

from segtrain.errors import ConfigError
from segtrain.losses.base import SegmentationLoss, check_shapes


class ForeignLoss(nn.Module):
    """A loss of smp, torch.nn or the user: it gets float32 logits outside autocast.

    In multiclass the mask is int64 (N, H, W); in binary and multilabel it is float32 of the logits' shape, which keeps
    binary masks from broadcasting. ``mode`` and ``ignore_index`` are passed to the class where its signature names
    them. A class that names no ignore_index but a reduction is asked for one value per pixel, of which the mean over
    the pixels that are not ignored is taken. A class that names neither finds ignore_index in the mask, and leaves
    those pixels out by itself. How a class that takes ignore_index averages is its own: smp's SoftCrossEntropyLoss and
    SoftBCEWithLogitsLoss divide by the ignored pixels too, CrossEntropyLoss and BCEWithLogitsLoss of segtrain do not.

    Raises ConfigError where the class refuses an argument or the batch, with its words and its error as the cause.
    """

    takes = "logits"
    across, average = SegmentationLoss.across, SegmentationLoss.average

    def __init__(self, name: str, target: type[nn.Module], *, arguments: dict, mode: str, ignore_index: int):
        super().__init__()
        self.name, self.mode, self.ignore_index = name, mode, ignore_index
        named = inspect.signature(target).parameters
        given = {key: _to_tensor(key, value) for key, value in arguments.items()}
        given |= {key: value for key, value in (("mode", mode), ("ignore_index", ignore_index)) if key in named}
        self.per_pixel = "ignore_index" not in named and "reduction" in named and "reduction" not in given
        if self.per_pixel:
            given["reduction"] = "none"
        self.whole_batch = not self.per_pixel
        try:
            self.loss = target(**given)
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"loss.{name}: {error}") from error

    def count(self, mask: Tensor) -> Tensor | None:
        """See SegmentationLoss."""
        return self.across((mask != self.ignore_index).sum()) if self.per_pixel else None

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        check_shapes(logits, mask, self.mode)
        if self.mode == "binary":
            mask = mask.unsqueeze(1)
        valid = mask != self.ignore_index
        ignored = ~valid.unsqueeze(1) if self.mode == "multiclass" else ~valid
        with torch.autocast(logits.device.type, enabled=False):
            logits, mask = logits.float(), mask.long() if self.mode == "multiclass" else mask.float()
            try:
                if self.per_pixel:
                    values = self.loss(logits.masked_fill(ignored, 0.0), mask.masked_fill(~valid, 0))
                    if values.shape != valid.shape:
                        shapes = f"{tuple(values.shape)}, not a value for each of {tuple(valid.shape)}"
                        raise ValueError(f"reduction 'none' returns {shapes}")
                    return self.average((values * valid).sum(), valid.sum())
                # Where nothing is left, the class sees zeros and no ignored pixel: what it makes of them is finite,
                # so that the factor 0 of its gradient holds (0 * NaN is NaN). `any` stays a tensor: no waiting.
                some = valid.any()
                value = self.loss(torch.where(some, logits, 0.0), torch.where(some, mask, 0))
                return torch.where(some, value.float(), 0.0)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"loss.{self.name}: {error}") from error


def _to_tensor(key: str, value: object) -> object:
    """torch.nn takes the weights of classes only as tensors, and those of channels only where they broadcast."""
    if key in ("weight", "pos_weight") and isinstance(value, (int, float, list, tuple)):
        tensor = torch.tensor(value, dtype=torch.float32)
        return tensor.view(-1, 1, 1) if key == "pos_weight" else tensor
    return value
