"""The weighted sum of losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.distributed import gather_all
from segtrain.errors import ConfigError
from segtrain.losses.base import divide, nearest

ByTerm = dict[str, Tensor]  # a scalar for each term


class WeightedLoss(nn.Module):
    """The sum of coef * term over the active terms: those with epoch >= from_epoch (epochs count from 0).

    In training mode the batch is that of all processes, which average the gradients of each weight: the value is the
    same in all of them. In evaluation it is that of this process.

    ``class_weights`` is for printing: the name of a term and its class weights, as numbers.
    """

    def __init__(
        self,
        terms: Mapping[str, Any],
        losses: Mapping[str, nn.Module],
        class_weights: Mapping[str, list],
        *,
        aux: float,
        gathers: bool = True,
    ):
        """`terms` have coef and from_epoch, see build_loss; `losses` are their losses, in the same order. `gathers`: a
        term that needs the entire batch receives it from all processes, not only from its own."""
        super().__init__()
        if not any(term.from_epoch <= 0 for term in terms.values()):
            given = ", ".join(f"{name} from {term.from_epoch}" for name, term in terms.items())
            raise ConfigError(f"loss: no term is active in epoch 0 ({given or 'no term at all'})")
        self.terms = dict(terms)
        self.losses = nn.ModuleList(losses.values())  # not a ModuleDict, which refuses the dot of a dotted path
        self.class_weights = class_weights
        self.aux, self.gathers = aux, gathers

    def forward(
        self, outputs: Tensor | Sequence[Tensor], mask: Tensor, epoch: int, *, factors: ByTerm | None = None
    ) -> tuple[Tensor, ByTerm]:
        """The loss, and the value of each active term before its coef, all float32 scalars.

        `outputs` are logits, or a list of those and of auxiliary ones, whose weighted sums are added times `aux`: their
        sum before that factor is the value called aux. Smaller ones are compared with the nearest pixels of the mask. A
        dict in the list contains outputs of another kind, for the terms that use them; in validation there are none,
        and these terms have no value. `factors` are those of `compute_factors` for this batch.
        """
        logits, *further = [outputs] if isinstance(outputs, Tensor) else outputs
        given = {"logits": logits}
        for each in further:
            given |= each if isinstance(each, dict) else {}
        total, values = self._add_up(given, mask, epoch, factors)
        maps = [each for each in further if isinstance(each, Tensor)]
        if maps and self.aux:
            values["aux"] = sum(
                self._add_up({"logits": each}, nearest(mask, each.shape[-2:]), epoch, factors)[0] for each in maps
            )
            total = total + self.aux * values["aux"]
        return total, values

    def _add_up(self, given: dict[str, Any], mask: Tensor, epoch: int, factors: ByTerm | None) -> tuple[Tensor, ByTerm]:
        total, values = given["logits"].new_zeros((), dtype=torch.float32), {}
        whole: tuple[Tensor, Tensor] | None = None
        for (name, term), loss in zip(self.terms.items(), self.losses, strict=True):
            if epoch >= term.from_epoch and loss.takes in given:
                if self.training and self.gathers and loss.whole_batch and loss.takes == "logits":
                    whole = whole or (gather_all(given["logits"]), gather_all(mask))
                    values[name] = loss(*whole)
                else:
                    values[name] = loss(given[loss.takes], mask)
                if factors is not None and name in factors:
                    values[name] = values[name] * factors[name]
                total = total + term.coef * values[name]
        return total, values

    def compute_factors(self, masks: Sequence[Tensor]) -> list[ByTerm]:
        """Factors for the terms that are means over pixels, one per batch, so that the mean over the batches is the
        mean over the pixels of all of them: the batch's share of the pixels, times the number of batches."""
        factors: list[ByTerm] = [{} for _ in masks]
        for name, loss in zip(self.terms, self.losses, strict=True):
            counts = [loss.count(mask) for mask in masks]
            if None not in counts:
                shares = divide(torch.stack(counts), sum(counts))
                for factor, share in zip(factors, shares, strict=True):
                    factor[name] = share * len(masks)
        return factors
