"""TensorBoard writer: the rows of the log in event files under the run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from segtrain.visualize import Panel


class TensorBoardWriter:
    """Event files in `folder`. Every method may raise: the caller decides what a failure means."""

    def __init__(self, folder: Path) -> None:
        self._events = SummaryWriter(str(folder))

    def write(self, step: int, *, values: dict[str, float], panels: Sequence[Panel], confusion: Any, **_: Any) -> None:
        """One step, see log.Row."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        for panel in panels:
            self._events.add_image(f"panels/{panel.name}", panel.panel, step, dataformats="HWC")
        if confusion is not None and confusion[1] is not None:
            self._events.add_image("val/confusion_picture", confusion[1], step, dataformats="HWC")
        self._events.flush()

    def finish(self) -> None:
        self._events.close()
