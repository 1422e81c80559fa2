"""Report of a comparison: what the console shows, in 100 columns, and the CSV files."""

import math
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from segtrain.commands.compare.pair import EntryPair
from segtrain.commands.compare.row import NO_INTERVAL, Measure, RunEntry, RunRow
from segtrain.errors import name_some
from segtrain.inference.bootstrap import LEVEL
from segtrain.log.record import FINISHED
from segtrain.log.show import LINE_WIDTH, format_columns, shorten_middle, show_duration
from segtrain.metrics import show_score

SHOWN_CLASSES, SHOWN_ENTRIES = 20, 4  # in the table of classes on the console
SHOWN_SETTINGS, SHOWN_VALUES, SHOWN_PAIRS = 20, 6, 10
VALUE_CHARACTERS, SAME_CHARACTERS = 40, 12
ROUNDING = 5e-5  # of scores of four digits


@dataclass(frozen=True)
class Comparison:
    """All that is shown: `entries`, the best first; `differences`, settings that differ, a value for each entry;
    `pairs`, each beside the best; `notes` and `problems`, what there is to say of them, a line each."""

    measure: Measure
    entries: list[RunEntry]
    differences: dict[str, list[Any]]
    pairs: list[EntryPair]
    intervals: dict[str, tuple[float, float]]
    notes: list[str]
    problems: list[str]

    @property
    def rows(self) -> list[RunRow]:
        """Those of all entries."""
        return [row for entry in self.entries for row in entry.rows]

    def classes(self) -> dict[str, list[float]]:
        """The IoU of each class in each entry, those of one class alone left out."""
        names = self.measure.names
        return {name: [entry.iou(name) for entry in self.entries] for name in names}


def write_notes(rows: Sequence[RunRow], measure: Measure, pairs: Sequence[EntryPair]) -> list[str]:
    """What keeps scores from being what they seem: no interval, an evaluation that gives another score."""
    notes = []
    without = [row for row in rows if row.evaluation is None and row.values]
    if without:
        whose = f" for {len(without)} of {len(rows)} rows" if len(without) < len(rows) else ""
        command = f"python -m segtrain evaluate {shlex.quote(str(without[0].path))}"
        notes.append(f"no interval{whose}: {command} computes it")
    others = []
    for row in rows:
        if row.evaluation is not None and not row.is_evaluation:
            score, evaluated = measure.of_values(row.values), measure.of_values(row.evaluation.values)
            if abs(score - evaluated) > ROUNDING:
                applied = row.evaluation.info.options.describe()
                others.append(f"{row.name} {show_score(evaluated)}{f' with {applied}' if applied else ''}")
    if others:
        notes.append(f"the interval is from the newest evaluation, which has another score: {name_some(others)}")
    notes += [f"{pair.second.name} vs. {pair.first.name}: {note}" for pair in pairs for note in pair.notes]
    return notes


def format_comparison(comparison: Comparison) -> str:
    """The console's text, without a newline at the end."""
    parts = [
        format_entries(comparison),
        format_differences(comparison),
        format_classes(comparison),
        format_pairs(comparison.pairs),
        "\n".join(_wrap(note) for note in comparison.notes),
        "\n".join(_wrap(f"warning: {problem}") for problem in comparison.problems),
    ]
    return "\n\n".join(part for part in parts if part)


def format_entries(comparison: Comparison) -> str:
    """A line for each entry."""
    measure = comparison.measure
    states = any(row.state not in ("", FINISHED) for row in comparison.rows)
    head = ["", measure.title, f"{LEVEL:.0%} interval", "epoch", "params", "time", "images/s"]
    lines = [[*head, *(["state"] if states else [])]]
    for entry in comparison.entries:
        cells = [show_score(entry.score(measure)), show_spread(comparison, entry), show_epoch(entry)]
        cells += [show_count(entry.told("parameters")), show_duration(entry.told("seconds"))]
        cells += [show_number(entry.images_per_second)]
        lines.append([entry.name, *cells, *([show_states(entry)] if states else [])])
    return format_columns(lines)


def show_spread(comparison: Comparison, entry: RunEntry) -> str:
    """The interval of a row, or the deviation of several."""
    if entry.varied:
        deviation = entry.deviation(comparison.measure)
        return "" if math.isnan(deviation) else f"± {deviation:.4f}"
    low, high = comparison.intervals.get(entry.rows[0].name, NO_INTERVAL)
    return "" if math.isnan(low) else f"{low:.4f} to {high:.4f}"


def show_epoch(entry: RunEntry) -> str:
    """`12/30`, the best of those trained so far; means of several."""
    epoch, epochs = (entry.mean([getattr(row, key) for row in entry.rows]) for key in ("epoch", "epochs"))
    if math.isnan(epoch):
        return "" if math.isnan(epochs) else f"-/{epochs:.0f}"
    return f"{epoch:g}" if math.isnan(epochs) or entry.rows[0].is_evaluation else f"{epoch:.0f}/{epochs:.0f}"


def show_states(entry: RunEntry) -> str:
    """The state of its run, or of those of its runs that are not finished: `1 running`."""
    counts = Counter(row.state for row in entry.rows if row.state)
    if not entry.varied or counts.keys() <= {FINISHED}:
        return next(iter(counts), "")
    return ", ".join(f"{count} {state}" for state, count in counts.items() if state != FINISHED)


def show_count(number: float) -> str:
    """A number of parameters: `24.4 M`."""
    return "" if math.isnan(number) else f"{number / 1e6:.1f} M"


def show_number(number: float) -> str:
    """One digit behind the point; nothing for nan."""
    return "" if math.isnan(number) else f"{number:.1f}"


def show_settings(values: Sequence[Any]) -> list[str]:
    """Values of one key of a configuration as text; long ones from shortly before the first sign that differs."""
    texts = ["-" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    given = [text for text in texts if text != "-"]
    differs = next((index for index, signs in enumerate(zip(*given, strict=False)) if len(set(signs)) > 1), 0)
    first = max(0, differs - SAME_CHARACTERS) if max(map(len, given)) > VALUE_CHARACTERS else 0
    cut = [f"..{text[first:]}" if first and text != "-" else text for text in texts]
    return [text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 2]}.." for text in cut]


def format_differences(comparison: Comparison) -> str:
    """The settings that differ, each with its values and who has them."""
    lines = []
    for key, values in comparison.differences.items():
        owners: dict[str, list[str]] = {}
        for entry, value in zip(comparison.entries, show_settings(values), strict=True):
            if entry.rows[0].record is not None:
                owners.setdefault(value, []).append(entry.name)
        shown = [f"{value}{_owned(names)}" for value, names in owners.items()]
        more = [f"{len(shown) - SHOWN_VALUES} more values"] if len(shown) > SHOWN_VALUES else []
        listed = "; ".join([*shown[:SHOWN_VALUES], *more])
        lines.append(textwrap.fill(f"{key}: {listed}", LINE_WIDTH, initial_indent="  ", subsequent_indent="    "))
    left = len(lines) - SHOWN_SETTINGS
    more = [f"  and {left} more settings: -o FOLDER shows them"] if left > 0 else []
    return "\n".join(["differences", *lines[:SHOWN_SETTINGS], *more]) if lines else ""


def _owned(names: Sequence[str]) -> str:
    return f" ({name_some([shorten_middle(name, 30) for name in names], 2)})"


def format_classes(comparison: Comparison) -> str:
    """The IoU of each class in the best entry, and how far the others are from it; where they are many, of those that
    differ most."""
    shown, classes = comparison.entries[:SHOWN_ENTRIES], comparison.classes()
    if len(comparison.entries) < 2 or all(math.isnan(value) for row in classes.values() for value in row):
        return ""

    def change(name: str) -> float:
        best, *others = classes[name]
        return max((abs(value - best) for value in others if not math.isnan(value - best)), default=0.0)

    names = list(classes)
    if len(names) > SHOWN_CLASSES:
        names = sorted(names, key=change, reverse=True)[:SHOWN_CLASSES]
    lines = [["IoU", *(entry.name for entry in shown)]]
    for name in names:
        best, *others = classes[name][: len(shown)]
        lines.append([name, show_score(best), *(show_change(value - best) for value in others)])
    left = len(comparison.entries) - len(shown)
    more = [f"{len(classes) - len(names)} more classes"] if len(names) < len(classes) else []
    more += [f"{left} more rows"] if left else []
    return "\n".join([format_columns(lines), *([f"and {' and '.join(more)}: -o FOLDER shows them"] if more else [])])


def show_change(value: float) -> str:
    """With its sign; "-" for nan."""
    return "-" if math.isnan(value) else f"{value:+.4f}"


def format_pairs(pairs: Sequence[EntryPair]) -> str:
    """The differences to the best row, on the same images."""
    if not pairs:
        return ""
    head = [f"vs. {pairs[0].first.name}", pairs[0].measure.title, f"{LEVEL:.0%} interval", "better", "worse", "same"]
    lines = [head]
    for pair in pairs[:SHOWN_PAIRS]:
        interval = "" if math.isnan(pair.low) else f"{pair.low:+.4f} to {pair.high:+.4f}"
        counts = [str(pair.count(sign)) for sign in (1, -1, 0)]
        lines.append([pair.second.name, show_change(pair.difference), interval, *counts])
    explained = "better, worse, same: number of images. The intervals are for the difference (paired bootstrap)."
    left = len(pairs) - SHOWN_PAIRS
    more = f"and {left} more rows: -o FOLDER shows them\n" if left > 0 else ""
    return f"{format_columns(lines)}\n{more}{explained}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, LINE_WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def build_compare_csv(comparison: Comparison) -> str:
    """A row for each entry and, below one of several runs, for each of these, in full precision: score, deviation,
    low, high and so on; set/<key> are the settings that differ, iou/<class> the classes."""
    rows = []
    for index, entry in enumerate(comparison.entries):
        settings = {f"set/{key}": values[index] for key, values in comparison.differences.items()}
        rows.append(_csv_row(comparison, entry) | settings)
        if entry.varied:
            rows += [_csv_row(comparison, RunEntry([row]), within=entry.name) | settings for row in entry.rows]
    return pandas.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _csv_row(comparison: Comparison, entry: RunEntry, within: str = "") -> dict[str, Any]:
    measure, row = comparison.measure, entry.rows[0]
    low, high = NO_INTERVAL if entry.varied else comparison.intervals.get(row.name, NO_INTERVAL)
    return {
        "name": entry.name,
        "within": within,
        "path": "" if entry.varied else str(row.path),
        "state": show_states(entry),
        "metric": measure.title,
        "score": entry.score(measure),
        "deviation": entry.deviation(measure),
        "low": low,
        "high": high,
        "epoch": entry.mean([each.epoch for each in entry.rows]),
        "epochs": entry.mean([each.epochs for each in entry.rows]),
        "parameters": entry.told("parameters"),
        "seconds": entry.told("seconds"),
        "images_per_second": entry.images_per_second,
        **{f"iou/{name}": entry.iou(name) for name in measure.names},
    }


def build_changes_csv(pairs: Sequence[EntryPair]) -> str:
    """The change of each image's score from the best row to each other: a row an image, a column a row."""
    table = pandas.DataFrame({pair.second.name: pair.changes for pair in pairs})
    return table.to_csv(index_label=f"name ({pairs[0].measure.title} vs. {pairs[0].first.name})", lineterminator="\n")
