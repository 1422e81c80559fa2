"""Rows of the log: everything that is known of one step, as the writers take it."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Panel:
    """One validation image: `image` HWC uint8 RGB, `mask` (None where there is no ground truth) and `prediction` HW
    class indices of the same size, `panel` HWC uint8 RGB, the picture that compares them."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    prediction: np.ndarray
    panel: np.ndarray


@dataclass
class Row:
    """All that is known of one step. `confusion`: the (C, C) counts and their picture, HWC uint8 RGB."""

    values: dict[str, float] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)
    confusion: tuple[np.ndarray, np.ndarray | None] | None = None
