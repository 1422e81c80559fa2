"""What is to be looked at after an evaluation: the worst images, and how far probabilities can be believed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segtrain.commands.evaluate.calibration import BINS, calibration_error
from segtrain.commands.evaluate.scoring import Shown
from segtrain.inference.task import Task
from segtrain.visualize import MARGIN_PX, compare_panel

COLUMNS = 2
GAP_PX = 24
TITLE_PX = 22
BLUE, GREY, ORANGE = "#1f4e79", "#9aa5b1", "#e08e2b"


def draw_panel(shown: Shown, task: Task, *, ignore_index: int) -> NDArray[np.uint8]:
    """Image, ground truth, prediction and errors side by side, HWC uint8 RGB."""
    return compare_panel(
        shown.image,
        shown.mask,
        shown.prediction,
        names=task.picture_names,
        colors=task.colors,
        ignore_index=ignore_index,
    )


def draw_sheet(shown: Sequence[Shown], panels: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """The panels of the worst images in two columns, row by row from the worst on, each below its name and score."""
    font = ImageFont.load_default(size=TITLE_PX)
    top = round(TITLE_PX * 1.6)
    width = max((panel.shape[1] for panel in panels), default=600)
    heights = [max(panel.shape[0] for panel in panels[first : first + COLUMNS]) for first in _rows(panels)]
    size = (COLUMNS * (width + GAP_PX) + GAP_PX, sum(heights) + len(heights) * (top + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    upper = GAP_PX
    for first, height in zip(_rows(panels), heights, strict=True):
        for place in range(first, min(first + COLUMNS, len(panels))):
            left = GAP_PX + (place - first) * (width + GAP_PX)
            title = f"{place + 1}. {_cut(shown[place].name)}: mIoU {shown[place].miou:.4f}"
            draw.text((left + MARGIN_PX, upper), title, fill=(30, 30, 30), font=font)
            sheet.paste(Image.fromarray(panels[place]), (left, upper + top))
        upper += top + height + GAP_PX
    sheet.save(path)


def _rows(panels: Sequence) -> range:
    return range(0, len(panels), COLUMNS)


def _cut(name: str, characters: int = 60) -> str:
    """The end of a name tells images apart."""
    return name if len(name) <= characters else "…" + name[1 - characters :]


def draw_calibration(counted: NDArray, task: Task, path: Path) -> None:
    """A reliability diagram: for each bin of confidence the share that is right, above the share of the pixels in it.

    Args:
        counted: float64 (3, K, BINS), see count_confidences; of several classes the bins are summed.
        task: the classes.
        path: the PNG file, overwritten.
    """
    from matplotlib.figure import Figure

    pixels, confidence, right = counted.sum(axis=1)
    there = pixels > 0
    middles = (np.arange(BINS) + 0.5) / BINS
    top = task.mode == "multiclass"
    figure = Figure(figsize=(7, 8), dpi=100, layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    upper.bar(middles[there], right[there] / pixels[there], width=0.9 / BINS, color=BLUE, label="share that is right")
    means = confidence[there] / pixels[there]
    upper.plot(means, right[there] / pixels[there], "o", color=ORANGE, clip_on=False, label="mean of the bin")
    upper.plot([0, 1], [0, 1], "--", color=GREY, label="as it should be")
    error = calibration_error(counted)
    upper.set(xlim=(0, 1), ylim=(0, 1), title=f"Reliability, calibration error {error:.4f}")
    upper.set_ylabel("share of pixels that are right" if top else "share of pixels that are of the class")
    upper.legend(loc="upper left", frameon=False)
    lower.bar(middles, pixels / max(pixels.sum(), 1), width=0.9 / BINS, color=GREY)
    lower.set(xlabel="probability of the predicted class" if top else "probability of the class")
    lower.set_ylabel("share of all pixels")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6")
        axes.set_axisbelow(True)
    figure.savefig(path)
