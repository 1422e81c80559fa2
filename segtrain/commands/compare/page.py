"""Page of a comparison: compare.html, with the curves of all runs, the tables, and the images that changed most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from segtrain.commands.compare.pictures import ONLY_COLORS, ChangedImage
from segtrain.commands.compare.report import (
    Comparison,
    show_change,
    show_count,
    show_epoch,
    show_number,
    show_settings,
    show_spread,
    show_states,
)
from segtrain.commands.compare.row import NO_INTERVAL, RunEntry
from segtrain.inference.bootstrap import INTERVAL_DEFINITION, LEVEL
from segtrain.log.show import show_duration
from segtrain.metrics import show_score
from segtrain.page import write_html

COLORED = 8  # the best entries have a color each, the others are gray
DEFINITIONS = {
    "interval": INTERVAL_DEFINITION,
    "pairs": (
        f"Differences are on the same images. Their intervals contain the middle {LEVEL:.0%} of the differences on "
        f"resampled images, the same for both runs (paired bootstrap). A difference whose interval does not contain "
        f"0 is in color: the choice of images does not explain it. The interval does not include the effect of "
        f"another seed."
    ),
}


@dataclass(frozen=True)
class Chart:
    """Curves in a square of 100 x 100 with its origin at the upper left: for each the index of its entry, its name and
    its points; ticks are positions and labels."""

    curves: list[tuple[int, str, list[tuple[float, float]]]]
    epochs: list[tuple[float, str]]
    scores: list[tuple[float, str]]


def render_comparison(path: Path, comparison: Comparison, shown: Sequence[ChangedImage]) -> None:
    """Write the page. Raises DataError where the file cannot be written."""
    write_html(
        path,
        Path(__file__).with_name("page.html.jinja"),
        comparison=comparison,
        measure=comparison.measure,
        entries=comparison.entries,
        classes=comparison.classes(),
        chart=plot_chart(comparison),
        strip=place_strip(comparison),
        shown=shown,
        pairs=comparison.pairs,
        definitions=DEFINITIONS,
        level=f"{LEVEL:.0%}",
        states=any(row.state for row in comparison.rows),
        single=lambda row: RunEntry([row]),
        color=lambda index: f"series-{index + 1}" if index < COLORED else "series-other",
        colors=ONLY_COLORS,
        isnan=math.isnan,
        show_change=show_change,
        show_count=show_count,
        show_duration=show_duration,
        show_epoch=show_epoch,
        show_number=show_number,
        show_score=show_score,
        show_settings=show_settings,
        show_spread=show_spread,
        show_states=show_states,
    )


def plot_chart(comparison: Comparison) -> Chart | None:
    """The measure of every run over its epochs, where it was evaluated; None where no run has a curve."""
    measure, curves = comparison.measure, []
    for index, entry in enumerate(comparison.entries):
        for row in entry.rows:
            if row.is_evaluation or not len(row.record.table):
                continue
            table = row.record.table.rename(columns=lambda name: name.removeprefix("val/"))
            scores = [measure.of_values(values) for values in table.to_dict("records")]
            known = [(float(x), float(y)) for x, y in zip(table["epoch"], scores, strict=True) if math.isfinite(y)]
            if known:
                curves.append((index, row.name, known))
    if not curves:
        return None
    points = np.array([point for _, _, known in curves for point in known])
    scores = MaxNLocator(5, min_n_ticks=2).tick_values(points[:, 1].min(), points[:, 1].max())
    last = max(points[:, 0].max(), 2.0)
    epochs = [tick for tick in MaxNLocator(8, integer=True).tick_values(1, last) if 1 <= tick <= last]
    low, high = scores[0], scores[-1]

    def across(epoch: float) -> float:
        return 100 * (epoch - 1) / (last - 1)

    def down(score: float) -> float:
        return 100 * (high - score) / (high - low)

    return Chart(
        [(index, name, [(across(x), down(y)) for x, y in known]) for index, name, known in curves],
        [(across(tick), f"{tick:.0f}") for tick in epochs],
        [(down(tick), f"{tick:g}") for tick in scores],
    )


def place_strip(comparison: Comparison) -> dict[str, tuple[float, float, float]]:
    """Where the score and the ends of its interval, or one deviation to each side, lie on a strip that all entries and
    rows share, in percent, by name."""
    measure, spans = comparison.measure, {}
    for entry in [*comparison.entries, *(RunEntry([row]) for row in comparison.rows)]:
        score = entry.score(measure)
        if entry.varied:
            deviation = np.nan_to_num(entry.deviation(measure))
            low, high = score - deviation, score + deviation
        else:
            low, high = comparison.intervals.get(entry.rows[0].name, NO_INTERVAL)
        if not math.isnan(score):
            spans[entry.name] = (score, *((score, score) if math.isnan(low) else (low, high)))
    ends = [end for span in spans.values() for end in span]
    least, most = min(ends, default=0.0), max(ends, default=1.0)
    width = (most - least) or 1.0
    return {name: tuple(100 * (end - least) / width for end in span) for name, span in spans.items()}
