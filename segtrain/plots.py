"""Charts as PNG files: training curves, the confusion matrix, and the style that all charts have.

matplotlib is imported when a chart is drawn, and only as a Figure on an Agg canvas: pyplot would open windows, and keep
every figure in memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MANY = 20  # more classes than this are not told apart by color, nor are their percentages readable
NAME_CHARACTERS = 24
# The colors of page.css in its light form, so that charts and pages look alike.
INK, QUIET, LINE, PALE = "#1c1c1a", "#63635e", "#deded9", "#b4b4ac"
SERIES = ("#2a78d6", "#e0672c", "#159a6b", "#8a63d2", "#c4408a", "#a08400", "#0f93a8", "#8c5a3c")
BLUE, ORANGE, RED = SERIES[0], SERIES[1], "#b3261e"
_LOSSES = (["train", "loss"], ["val", "loss"])
_TOTALS = {"train/loss": BLUE, "val/loss": RED, "val/miou": BLUE, "val/pixel_accuracy": ORANGE, "lr": BLUE}


def plot_curves(rows: "pd.DataFrame", path: str | Path) -> None:
    """Draw loss, mIoU, IoU per class and learning rate over the epochs, 1600 x 1000 pixels; the best epoch is marked.

    Args:
        rows: one row per epoch, the columns of metrics.csv: epoch, train/loss, train/loss/<term>, val/loss, val/miou,
            val/pixel_accuracy, val/iou/<class>, lr. Any may be missing; nan where an epoch was not evaluated. Without
            rows the axes are empty.
        path: the PNG file, overwritten; its folder exists.
    """
    figure = new_figure(16, 10)
    (loss, score), (classes, rate) = figure.subplots(2, 2)
    iou = [column for column in rows if column.startswith("val/iou/")]
    _draw_lines(loss, "Loss", rows, [column for column in rows if column.split("/")[:2] in _LOSSES])
    _draw_lines(score, "Validation scores", rows, ["val/miou", "val/pixel_accuracy"])
    _draw_lines(classes, "IoU per class", rows, iou)
    _draw_lines(rate, "Learning rate", rows, [column for column in rows if column == "lr" or column.startswith("lr/")])
    score.set_ylim(0, 1)
    classes.set_ylim(0, 1)
    _mark_best(rows, (loss, score, classes, rate), score)
    figure.savefig(path)


def plot_confusion(matrix: ArrayLike, names: Sequence[str], path: str | Path) -> None:
    """Draw a confusion matrix with rows as shares of the true class, with percentages up to 20 classes.

    Args:
        matrix: pixels, (C, C), rows ground truth, columns prediction. A row without pixels is left gray. Or (C, 2, 2),
            where classes overlap: then what was found and missed of each, and how much of its prediction is wrong.
        names: the C class names.
        path: the PNG file, overwritten; its folder exists.
    """
    cells = np.asarray(matrix, dtype=np.float64)
    classes = len(names)
    if cells.shape == (classes, 2, 2):
        parts = np.stack([cells[:, 1, 1], cells[:, 1, 0], cells[:, 0, 1]], axis=1)
        true, predicted = cells[:, 1].sum(axis=1), cells[:, :, 1].sum(axis=1)
        totals, columns, horizontal = np.stack([true, true, predicted], axis=1), ["found", "missed", "false"], ""
    elif cells.shape == (classes, classes):
        parts, columns, horizontal = cells, [_shorten(name) for name in names], "prediction"
        totals = np.broadcast_to(cells.sum(axis=1, keepdims=True), cells.shape)
    else:
        raise ValueError(f"{classes} class names for a confusion matrix of shape {cells.shape}")
    share = np.divide(parts, totals, out=np.full_like(parts, np.nan), where=totals > 0)
    _draw_shares(share, [_shorten(name) for name in names], columns, horizontal, path)


def _draw_shares(share: np.ndarray, rows: list[str], columns: list[str], horizontal: str, path: str | Path) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    classes = len(rows)
    side = float(np.clip(3.5 + 0.6 * classes, 6, 22))
    figure = new_figure(side + 1.2, side)
    axes = figure.subplots()
    axes.set_facecolor(LINE)
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # a confusion of 1 % is worth seeing, beside hits of 95 %
    picture = axes.imshow(share, cmap="Blues", norm=norm, interpolation="nearest", aspect="auto")
    axes.set_box_aspect(1)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, aspect=35, format=PercentFormatter(1))
    bar.set_label(
        "share of the pixels of the true class"
        if horizontal
        else "share of the pixels of the class; false: of the predicted pixels"
    )
    bar.outline.set_visible(False)
    size = float(np.clip(50 * side / classes, 4, 10))
    rotation = 90 if len(columns) > 4 else 0
    axes.set_xticks(range(len(columns)), columns, rotation=rotation, fontsize=size, parse_math=False)
    axes.set_yticks(range(classes), rows, fontsize=size, parse_math=False)
    missing = " (gray: not in the ground truth)" if np.isnan(share).any() else ""
    title = f"Confusion matrix{missing}" if horizontal else "Each class separately"
    prepare_axes(axes, title)
    axes.set(xlabel=horizontal, ylabel="ground truth" if horizontal else "")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    bar.ax.tick_params(color=PALE, labelcolor=QUIET)
    bar.ax.yaxis.label.set_color(QUIET)
    axes.spines[:].set_visible(False)
    if classes <= MANY:
        _write_shares(axes, share)
    figure.savefig(path)


def new_figure(width: float, height: float) -> "Figure":
    """A figure of width x height inches at 100 pixels each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    FigureCanvasAgg(figure)
    return figure


def prepare_axes(axes: "Axes", title: str) -> None:
    """The style of all charts: a title on the left, a pale grid, no frame but the two axes."""
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    axes.grid(color=LINE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(color=PALE, labelcolor=QUIET)
    axes.xaxis.label.set_color(QUIET)
    axes.yaxis.label.set_color(QUIET)


def _shorten(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"


def _write_shares(axes: "Axes", share: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.0005:  # also leaves out nan
            text = f"{value:.0%}" if value >= 0.0995 else f"{value:.1%}"
            color = "white" if value > 0.35 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=color)


def _draw_lines(axes: "Axes", title: str, rows: "pd.DataFrame", columns: Sequence[str]) -> None:
    """One line per column that holds a number; the legend stands outside, ordered as the lines end."""
    from matplotlib.ticker import MaxNLocator

    prepare_axes(axes, title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    series = {column: rows[["epoch", column]].dropna() for column in columns if column in rows}
    series = {column: points for column, points in series.items() if len(points)}
    if not series:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "nothing recorded yet", ha="center", va="center", color="gray", transform=axes.transAxes)
        return
    axes.set_xlim(rows["epoch"].min() - 0.5, rows["epoch"].max() + 0.5)
    ends = sorted(series, key=lambda column: series[column][column].iloc[-1], reverse=True)
    shown = ends if len(ends) <= MANY else [*ends[:5], *ends[-10:]]
    lines = {column: _draw_line(axes, points, shown) for column, points in series.items()}
    if all(points[column].min() >= 0 for column, points in series.items()):
        axes.set_ylim(bottom=0)
    legend = axes.legend(
        [lines[column] for column in shown],
        [_label(column, series[column][column].iloc[-1]) for column in shown],
        title="last value" if shown is ends else f"last value: the 5 best and 10 worst of {len(ends)}",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        fontsize=10 if len(shown) <= 12 else 8.5,
        title_fontproperties={"size": 8.5},
        alignment="left",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_line(axes: "Axes", points: "pd.DataFrame", shown: Sequence[str]) -> "Line2D":
    """A total is drawn thick, a loss term dashed, a class that the legend leaves out pale. Where there are more lines
    than colors, the next ones are dashed, then dotted."""
    column = points.columns[1]
    style = {"color": PALE, "linewidth": 0.8, "zorder": 1}
    if column in shown:
        turn, index = divmod(sorted(shown).index(column), len(SERIES))
        style = {"color": _TOTALS.get(column, SERIES[index]), "linewidth": 2.2 if column in _TOTALS else 1.6}
        style |= {"zorder": 2, "linestyle": "--" if column.startswith("train/loss/") else ("-", "--", ":")[turn]}
        style["marker"] = "o" if len(points) <= 30 else ""
    (line,) = axes.plot(points["epoch"], points[column], markersize=3.5, **style)
    return line


def _label(column: str, value: float) -> str:
    """An entry of the legend; a leading space, because matplotlib hides labels that begin with an underscore."""
    name = column.removeprefix("val/iou/").removeprefix("train/loss/")
    name = {"val/miou": "mIoU", "val/pixel_accuracy": "pixel accuracy"}.get(name, name)
    number = f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"
    return f" {_shorten(name)}  {number}"


def _mark_best(rows: "pd.DataFrame", all_axes: Sequence["Axes"], labeled: "Axes") -> None:
    """A dotted line at the epoch of the highest val/miou."""
    if "val/miou" not in rows or rows["val/miou"].dropna().empty:
        return
    best = rows.loc[rows["val/miou"].idxmax()]
    epoch, miou = int(best["epoch"]), best["val/miou"]
    for axes in all_axes:
        axes.axvline(epoch, color=INK, linestyle=":", linewidth=1.2, zorder=0)
    labeled.plot([epoch], [miou], marker="*", markersize=14, color=BLUE, zorder=4)
    labeled.set_title(f"best mIoU {miou:.4f} at epoch {epoch}", loc="right", fontsize=10.5, color=INK)
