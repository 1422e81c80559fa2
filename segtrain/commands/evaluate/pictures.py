"""Pictures of an evaluation: the worst images, and how far probabilities can be believed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from segtrain.commands.evaluate.probabilities import BINS, calibration_error
from segtrain.commands.evaluate.scores import Shown
from segtrain.inference.task import Task
from segtrain.plots import BLUE, ORANGE, PALE, new_figure, prepare_axes
from segtrain.visualize import MARGIN_PX, compare_panel

SHEET_COLUMNS = 2
GAP_PX = 24
TITLE_PX = 22
NAME_END_CHARACTERS = 60  # the end of a name tells images apart


def draw_panel(shown: Shown, task: Task) -> NDArray[np.uint8]:
    """Image, ground truth, prediction and errors side by side, HWC uint8 RGB."""
    return compare_panel(
        shown.image,
        shown.mask,
        shown.prediction,
        shown.wrong,
        names=task.picture_names,
        colors=task.colors,
        ignore_index=task.ignore_index,
    )


def draw_sheet(shown: Sequence[Shown], panels: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """The panels of the worst images in two columns, row by row from the worst on, each below its name and score."""
    font = ImageFont.load_default(size=TITLE_PX)
    top = round(TITLE_PX * 1.6)
    width = max((panel.shape[1] for panel in panels), default=600)
    firsts = range(0, len(panels), SHEET_COLUMNS)
    heights = [max(panel.shape[0] for panel in panels[first : first + SHEET_COLUMNS]) for first in firsts]
    size = (SHEET_COLUMNS * (width + GAP_PX) + GAP_PX, sum(heights) + len(heights) * (top + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for index, (item, panel) in enumerate(zip(shown, panels, strict=True)):
        row, column = divmod(index, SHEET_COLUMNS)
        left, upper = GAP_PX + column * (width + GAP_PX), GAP_PX + sum(heights[:row]) + row * (top + GAP_PX)
        name = item.name if len(item.name) <= NAME_END_CHARACTERS else "…" + item.name[1 - NAME_END_CHARACTERS :]
        title = f"{index + 1}. {name}: mIoU {item.miou:.4f}"
        draw.text((left + MARGIN_PX, upper), title, fill=(30, 30, 30), font=font)
        sheet.paste(Image.fromarray(panel), (left, upper + top))
    sheet.save(path)


def draw_calibration(counted: NDArray, task: Task, path: Path) -> None:
    """A reliability diagram: for each bin of confidence the share that is right, above the share of the pixels in it.

    Args:
        counted: float64 (3, K, BINS), see count_confidences; of several classes the bins are summed.
        task: the classes.
        path: the PNG file, overwritten.
    """
    pixels, confidence, right = counted.sum(axis=1)
    there = pixels > 0
    middles = (np.arange(BINS) + 0.5) / BINS
    top = task.mode == "multiclass"
    figure = new_figure(7, 8)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    upper.bar(
        middles[there], right[there] / pixels[there], width=0.9 / BINS, color=BLUE, label="share of correct pixels"
    )
    means = confidence[there] / pixels[there]
    upper.plot(means, right[there] / pixels[there], "o", color=ORANGE, clip_on=False, label="mean per bin")
    upper.plot([0, 1], [0, 1], "--", color=PALE, label="ideal")
    error = calibration_error(counted)
    prepare_axes(upper, f"Reliability, calibration error {error:.4f}")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.set_ylabel("share of pixels that are correct" if top else "share of pixels of the class")
    upper.legend(loc="upper left", frameon=False)
    lower.bar(middles, pixels / max(pixels.sum(), 1), width=0.9 / BINS, color=PALE)
    lower.set(xlabel="probability of the predicted class" if top else "probability of the class")
    lower.set_ylabel("share of all pixels")
    prepare_axes(lower, "")
    figure.savefig(path)
