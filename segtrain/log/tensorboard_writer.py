"""TensorBoard writer: the rows of the log in event files under the run folder."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from segtrain.log.row import Row


class TensorBoardWriter:
    """Event files in `folder`. Every method may raise: the caller decides what a failure means."""

    def __init__(self, folder: Path) -> None:
        self._events = SummaryWriter(str(folder))

    def write(self, step: int, row: Row) -> None:
        for name, value in row.values.items():
            self._events.add_scalar(name, value, step)
        for panel in row.panels:
            self._events.add_image(f"panels/{panel.name}", panel.panel, step, dataformats="HWC")
        picture = row.confusion and row.confusion[1]
        if picture is not None:
            self._events.add_image("val/confusion_picture", picture, step, dataformats="HWC")

        self._events.flush()

    def finish(self) -> None:
        self._events.close()
