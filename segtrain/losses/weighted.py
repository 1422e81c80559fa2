"""The weighted sum of losses, and the wrapper that lets a loss of another library into it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.errors import ConfigError
from segtrain.losses.base import check_shapes, divide


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

    def __init__(self, name: str, target: type[nn.Module], *, arguments: dict, mode: str, ignore_index: int):
        super().__init__()
        self.name, self.mode, self.ignore_index = name, mode, ignore_index
        named = inspect.signature(target).parameters
        given = {key: _to_tensor(key, value) for key, value in arguments.items()}
        given |= {key: value for key, value in (("mode", mode), ("ignore_index", ignore_index)) if key in named}
        self.per_pixel = "ignore_index" not in named and "reduction" in named and "reduction" not in given
        if self.per_pixel:
            given["reduction"] = "none"
        try:
            self.loss = target(**given)
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"loss.{name}: {error}") from error

    def count(self, mask: Tensor) -> Tensor | None:
        """See SegmentationLoss."""
        return (mask != self.ignore_index).sum() if self.per_pixel else None

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
                        raise ValueError(f"reduction 'none' gives {shapes}")
                    return divide((values * valid).sum(), valid.sum())
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


class WeightedLoss(nn.Module):
    """The sum of coef * term over the terms that are active: those with epoch >= from_epoch (epochs count from 0).

    ``class_weights`` holds what is worth printing: the name of a term and its class weights, as numbers.
    """

    def __init__(self, terms: Mapping[str, Any], losses: Mapping[str, nn.Module], class_weights: Mapping[str, list]):
        """`terms` have coef and from_epoch, see build_loss; `losses` are what they name, in the same order."""
        super().__init__()
        if not any(term.from_epoch <= 0 for term in terms.values()):
            given = ", ".join(f"{name} from {term.from_epoch}" for name, term in terms.items())
            raise ConfigError(f"loss: no term is active in epoch 0 ({given or 'no term at all'})")
        self.terms = dict(terms)
        self.losses = nn.ModuleList(losses.values())  # not a ModuleDict, which refuses the dot of a dotted path
        self.class_weights = class_weights

    def forward(
        self, logits: Tensor, mask: Tensor, epoch: int, *, factors: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and the value of each active term before its coef, all float32 scalars. `factors` are those
        of `compute_factors` for this batch."""
        total, values = logits.new_zeros((), dtype=torch.float32), {}
        for (name, term), loss in zip(self.terms.items(), self.losses, strict=True):
            if epoch >= term.from_epoch:
                values[name] = loss(logits, mask)
                if factors is not None and name in factors:
                    values[name] = values[name] * factors[name]
                total = total + term.coef * values[name]
        return total, values

    def compute_factors(self, masks: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """For each batch, by what the terms that are means over pixels are multiplied, so that the mean over the
        batches is the mean over the pixels of them all: its share of the pixels, times the number of batches."""
        factors: list[dict[str, Tensor]] = [{} for _ in masks]
        for name, loss in zip(self.terms, self.losses, strict=True):
            counts = [loss.count(mask) for mask in masks]
            if None not in counts:
                shares = divide(torch.stack(counts), sum(counts))
                for factor, share in zip(factors, shares, strict=True):
                    factor[name] = share * len(masks)
        return factors
