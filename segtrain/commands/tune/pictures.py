"""Pictures of a search: the scores of its trials, and what each key did to them."""

from pathlib import Path

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from segtrain.commands.tune.study import Study
from segtrain.plots import BLUE, INK, ORANGE, PALE, RED, new_figure, prepare_axes

COLUMNS = 3
MOST_KEYS = 12  # panels; the most important ones
TITLE_CHARACTERS = 40


def draw_history(table: pandas.DataFrame, path: Path, *, monitor: str, lowest: bool) -> None:
    """The score of each trial and the best so far, 1200 x 600 pixels.

    Args:
        table: of make_table.
        path: the PNG file, overwritten.
        monitor: the score's column and name.
        lowest: whether the lowest score is the best.
    """
    figure = new_figure(12, 6)
    axes = figure.subplots()
    prepare_axes(axes, f"{monitor} of {len(table)} trials")
    complete = table[table["state"] == "complete"]
    early = table[table["state"] == "stopped early"]
    failed = table[table["state"] == "failed"]
    so_far = complete[monitor].cummin() if lowest else complete[monitor].cummax()
    axes.step(complete["trial"], so_far, where="post", color=BLUE, linewidth=1.6, label="best so far")
    axes.plot(complete["trial"], complete[monitor], "o", color=BLUE, label="complete")
    if len(early):
        axes.plot(early["trial"], early[monitor], "o", color=PALE, markeredgecolor="gray", label="stopped early")
    for index, number in enumerate(failed["trial"]):
        axes.axvline(number, color=RED, linewidth=1, linestyle=":", label="failed" if index == 0 else None)
    for score in complete[complete["as_written"]][monitor]:
        axes.axhline(score, color=ORANGE, linestyle="--", label=f"experiment as written, {score:.4f}")
    axes.set(xlabel="trial", ylabel=monitor)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.02))
    figure.savefig(path)


def draw_keys(table: pandas.DataFrame, study: Study, path: Path, *, monitor: str) -> None:
    """The scores over the values of each key, the most important key first, 1500 pixels wide; paler is earlier.

    Args:
        table: of make_table.
        study: the search.
        path: the PNG file, overwritten.
        monitor: the score's column and name.
    """
    shares = study.importances()
    keys = sorted(study.ranges, key=lambda key: -shares.get(key, 0.0))[:MOST_KEYS]
    rows = -(-len(keys) // COLUMNS)
    figure = new_figure(15, 4.2 * rows)
    all_axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    scored = table.dropna(subset=[monitor])
    for axes, key in zip(all_axes, keys, strict=False):
        name = key if len(key) <= TITLE_CHARACTERS else "…" + key[1 - TITLE_CHARACTERS :]
        prepare_axes(axes, f"{name}  {shares[key]:.0%}" if key in shares else name)
        places = _place(axes, scored[key], study, key)
        for state, edge in (("complete", INK), ("stopped early", "none")):
            chosen = (scored["state"] == state).to_numpy()
            shown = {"c": scored["trial"][chosen], "cmap": "Blues", "vmin": -0.3 * len(table), "vmax": len(table)}
            axes.scatter(places[chosen], scored[monitor][chosen], s=45, edgecolors=edge, linewidths=0.8, **shown)
        axes.set_ylabel(monitor)
    for axes in all_axes[len(keys) :]:
        axes.set_visible(False)
    legend = "dark: late trials; outlined: complete"
    legend = f"percent: importance for being in the best quarter (PED-ANOVA); {legend}" if shares else legend
    figure.suptitle(legend, fontsize=10, color=INK)
    figure.savefig(path)


def _place(axes: Axes, values: pandas.Series, study: Study, key: str) -> np.ndarray:
    """Where the values lie on the horizontal axis: choices side by side, numbers as they are."""
    found = study.ranges[key]
    if found.choices is None:
        if found.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        return values.astype(float).to_numpy()
    texts = found.ends()
    short = [text if len(text) <= 16 else text[:15] + "…" for text in texts]
    axes.set_xticks(range(len(texts)), short, parse_math=False, rotation=20 if len(texts) > 4 else 0)
    axes.set_xlim(-0.5, len(texts) - 0.5)
    return values.map(texts.index).to_numpy()
