"""What a form of the network is to be like."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from segtrain.errors import SegtrainError


class ExportError(SegtrainError):
    """A network cannot be written in the form that was asked for."""


@dataclass(frozen=True)
class ExportOptions:
    """See the flags of the command.

    Args:
        labels: class indices instead of probabilities come out.
        precision: of the weights and, as far as the form allows, of the computation.
        size: the one size (H, W) of the images; None leaves it open.
        calibration: gives up to 128 training images (1, C, H, W) as the network takes them, of `size` where that is
            given, one after the other and each time from the start; for int8.
        push: repository of a model hub to push to, for `publish`.
        licence: of the weights, for model cards.
    """

    labels: bool
    precision: Literal["fp32", "fp16", "int8"]
    size: tuple[int, int] | None
    calibration: Callable[[], Iterator[Tensor]]
    push: str | None = None
    licence: str | None = None
