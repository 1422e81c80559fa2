"""Ranking: which images to label next; those with the most uncertain predictions come first."""

import csv
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from segtrain.commands.predict.result import Result, encode_jpeg
from segtrain.files import write_whole
from segtrain.inference.uncertainty import Uncertainty
from segtrain.visualize import to_rgb, uncertainty_panel

RANK_TABLE = "rank.csv"
RANK_SHEET = "rank.jpg"
SHOWN_IMAGES = 12
PANELS_IN_A_ROW = 2

Ranked = tuple[str, Uncertainty, np.ndarray | None]  # name, uncertainty without its map, and a panel if it may be shown


class Ranking:
    """rank.csv, all images by falling entropy (inference/uncertainty.py), and rank.jpg, the first SHOWN_IMAGES of them
    with maps of their uncertainty. Written in the context of `writing`."""

    files = (RANK_TABLE, RANK_SHEET)

    def __init__(self, output: Path):
        self.path = output / RANK_TABLE
        self._rows: list[tuple[str, Uncertainty]] = []
        self._panels: list[tuple[float, str, np.ndarray]] = []
        self._highest: list[float] = []  # entropies that this process has seen
        self._lock = threading.Lock()

    def take(self, result: Result) -> Ranked:
        """What is kept of an image. May be called from any thread."""
        measured = result.uncertainty
        with self._lock:
            self._highest = sorted([*self._highest, measured.entropy], reverse=True)[:SHOWN_IMAGES]
            is_shown = measured.map is not None and measured.entropy >= self._highest[-1]
        return result.file_name, measured._replace(map=None), _draw(result) if is_shown else None

    def add(self, taken: Ranked) -> None:
        """Add what `take` returned."""
        name, measured, panel = taken
        self._rows.append((name, measured))
        if panel is not None:
            self._panels.append((measured.entropy, name, panel))
            self._panels.sort(key=lambda item: (-item[0], item[1]))
            del self._panels[SHOWN_IMAGES:]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the files when the block ends without an error. Raises DataError if one cannot be written."""
        yield
        rows = sorted(self._rows, key=lambda row: (-row[1].entropy, row[0]))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["rank", "image", "entropy", "margin"])
        for number, (name, measured) in enumerate(rows, start=1):
            table.writerow([number, name, f"{measured.entropy:.6g}", f"{measured.margin:.6g}"])
        write_whole(self.path, text.getvalue())
        if self._panels:
            sheet = _arrange([panel for _, _, panel in self._panels])
            write_whole(self.path.with_name(RANK_SHEET), encode_jpeg(sheet))


def _draw(result: Result) -> np.ndarray:
    """The panel of an image, in the size of its map, HWC uint8 RGB."""
    height, width = result.uncertainty.map.shape
    small = [
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        for picture in (to_rgb(result.image), result.overlay)
    ]
    title = f"{result.file_name}: {result.uncertainty.entropy:.3f}"
    return uncertainty_panel(*small, result.uncertainty.map, title=title)


def _arrange(panels: list[np.ndarray]) -> np.ndarray:
    """Panels of any sizes in rows of PANELS_IN_A_ROW, on white."""
    rows = [panels[first : first + PANELS_IN_A_ROW] for first in range(0, len(panels), PANELS_IN_A_ROW)]
    heights = [max(panel.shape[0] for panel in row) for row in rows]
    widths = [max(row[column].shape[1] for row in rows if column < len(row)) for column in range(len(rows[0]))]
    sheet = np.full((sum(heights), sum(widths), 3), 255, np.uint8)
    for row, panels_of_row in enumerate(rows):
        top = sum(heights[:row])
        for column, panel in enumerate(panels_of_row):
            left = sum(widths[:column])
            sheet[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    return sheet
