"""Row of a comparison: a run, or an evaluation folder; what the rows are ordered by; seeds and folds as one entry."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from segtrain.config.tree import flatten
from segtrain.inference.bootstrap import middle, resample_counts
from segtrain.inference.evaluation import EvaluationRecord
from segtrain.log.record import RunRecord
from segtrain.metrics import mean_of_known, score_counts

WITHOUT_EFFECT = ("name", "runs_dir", "log")  # keys of a configuration that change no score
UNITS = {"seed": "seeds", "data.fold": "folds"}
NO_INTERVAL = (math.nan, math.nan)


@dataclass(frozen=True)
class Measure:
    """A metric, as a column of metrics.csv without val/, over the classes `names` that all rows have; `whole`: none has
    others."""

    key: str
    names: tuple[str, ...]
    whole: bool = True

    @property
    def lowest(self) -> bool:
        """Whether the lowest is the best."""
        return self.key == "loss"

    @property
    def title(self) -> str:
        """The name of the metric; a class behind it keeps its own."""
        kind, _, name = self.key.partition("/")
        title = {"miou": "mIoU", "mdice": "mDice", "iou": "IoU", "dice": "Dice", "fwiou": "FWIoU"}.get(kind, kind)
        title = title.replace("_", " ") + (f" of {name}" if name else "")
        if self.whole or name:
            return title
        return f"{title} of {len(self.names)} classes" if len(self.names) > 1 else f"IoU of {self.names[0]}"

    def of_values(self, values: Mapping[str, float]) -> float:
        """The score among the numbers of an evaluation; nan where it is not there."""
        if self.whole or "/" in self.key:
            return values.get(self.key, math.nan)
        return float(mean_of_known(np.array([values.get(f"iou/{name}", math.nan) for name in self.names])))

    def of_counts(self, counts: NDArray) -> NDArray[np.float64] | None:
        """The scores (..) of counts (.., 3, C) of the classes `names`; None for a metric that needs more."""
        return score_counts(counts, self.names).get(self.key)


@dataclass(frozen=True)
class RunRow:
    """A run (`record`) with the newest evaluation of its best.pt, if there is one; or an evaluation folder that was
    named itself (`is_evaluation`), with the run that its model is from, if that is one."""

    path: Path
    name: str
    record: RunRecord | None
    evaluation: EvaluationRecord | None
    is_evaluation: bool = False

    @cached_property
    def values(self) -> dict[str, float]:
        """Scores, named as in evaluation.csv: of the evaluation, or of the run's best epoch."""
        if self.is_evaluation:
            return self.evaluation.values
        if self.record.best is None:
            return {}
        best = self.record.best[np.isfinite(self.record.best.astype(float))]
        return {key.removeprefix("val/"): float(value) for key, value in best.items() if key.startswith("val/")}

    @property
    def classes(self) -> list[str]:
        """The names that scores are kept under."""
        return self.evaluation.info.names if self.is_evaluation else self.record.config.data.class_names

    @property
    def mode(self) -> str:
        """binary, multiclass or multilabel."""
        return self.evaluation.info.mode if self.is_evaluation else self.record.config.data.mode

    @property
    def state(self) -> str:
        """That of the run; empty for an evaluation."""
        return "" if self.is_evaluation else self.record.state

    @property
    def epoch(self) -> float:
        """Of the best checkpoint, or of what was evaluated; nan where it is not known."""
        if self.is_evaluation:
            return math.nan if self.evaluation.info.epoch is None else self.evaluation.info.epoch
        return math.nan if self.record.best is None else float(self.record.best["epoch"])

    @property
    def epochs(self) -> float:
        """Epochs that the run has trained."""
        table = pandas.DataFrame() if self.record is None else self.record.table
        return float(table["epoch"].max()) if len(table) else math.nan

    def told(self, key: str) -> float:
        """A number of summary.json: parameters, seconds; nan where the run has not said it."""
        value = math.nan if self.record is None else self.record.summary.get(key, math.nan)
        return float(value) if isinstance(value, (int, float)) else math.nan

    @property
    def images_per_second(self) -> float:
        """Of the training, the median of its epochs."""
        table = pandas.DataFrame() if self.record is None else self.record.table
        return float(table["images_per_second"].median()) if "images_per_second" in table else math.nan

    def counts_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The counts (N, 3, C) of the evaluation's images, of these classes."""
        known = self.evaluation.info.names
        return self.evaluation.counts[:, :, [known.index(name) for name in names]]

    def interval(self, measure: Measure) -> tuple[float, float]:
        """The bootstrap interval of the evaluation's score; nan where it cannot be told."""
        if self.evaluation is None or len(self.evaluation.images) < 2:
            return NO_INTERVAL
        scores = measure.of_counts(resample_counts(self.counts_of(measure.names)))
        return NO_INTERVAL if scores is None else middle(scores)

    def settings(self) -> dict[str, Any]:
        """The configuration as `section.key: value`, without what changes no score, and how an evaluation applied the
        model."""
        plain = {} if self.record is None else self.record.config.model_dump(mode="json")
        flat = flatten({key: value for key, value in plain.items() if key not in WITHOUT_EFFECT})
        if self.is_evaluation and (applied := self.evaluation.info.options.describe()):
            flat["evaluate"] = applied
        return flat


@dataclass(frozen=True)
class RunEntry:
    """A line of the comparison: one row, or those that differ in their `varied` key alone, seed or data.fold."""

    rows: list[RunRow]
    varied: str = ""

    @property
    def name(self) -> str:
        """Of its row, or those of its rows behind their number: `3 seeds: street-1, -2, -3`; where they are called as
        `batch` calls them, street-seed0, .., `street, 3 seeds`."""
        first, *others = [row.name for row in self.rows]
        if not self.varied:
            return first
        count = f"{len(self.rows)} {UNITS[self.varied]}"
        stem, key = first.rpartition("-")[0], self.varied.removeprefix("data.")
        if {re.sub(rf"-{key}\d+$", "", row.name) for row in self.rows} == {stem}:
            return f"{stem}, {count}"
        listed = ", ".join([first, *(name.removeprefix(stem) for name in others)])
        return f"{count}: {listed}"

    def mean(self, numbers: Sequence[float]) -> float:
        """The mean of what is known of its rows."""
        known = [number for number in numbers if not math.isnan(number)]
        return fmean(known) if known else math.nan

    def told(self, key: str) -> float:
        """The mean of what its runs say, see RunRow."""
        return self.mean([row.told(key) for row in self.rows])

    @property
    def images_per_second(self) -> float:
        """The mean of its rows."""
        return self.mean([row.images_per_second for row in self.rows])

    def iou(self, name: str) -> float:
        """Of a class, the mean of its rows."""
        return self.mean([row.values.get(f"iou/{name}", math.nan) for row in self.rows])

    def score(self, measure: Measure) -> float:
        """The mean of the rows' scores."""
        return self.mean([measure.of_values(row.values) for row in self.rows])

    def deviation(self, measure: Measure) -> float:
        """The standard deviation (n - 1) of the rows' scores; nan for fewer than two."""
        scores = [measure.of_values(row.values) for row in self.rows]
        known = [score for score in scores if not math.isnan(score)]
        return stdev(known) if len(known) > 1 else math.nan


def group_rows(rows: Sequence[RunRow], measure: Measure) -> list[RunEntry]:
    """The entries, the best first, those without a score last: folds of one seed as one, then seeds. Rows of the same
    seed that differ in nothing, as before and after a change of the code, stay apart."""
    rest, entries = list(rows), []
    for varied in ("data.fold", "seed"):
        alike: dict[str, list[RunRow]] = {}
        for row in rest:
            if row.record is not None:
                settings = row.settings()
                settings.pop(varied, None)
                alike.setdefault(json.dumps([row.is_evaluation, settings], default=str), []).append(row)
        for group in alike.values():
            values = [row.settings().get(varied) for row in group]
            if len(group) > 1 and len(set(values)) == len(values) and None not in values:
                order = sorted(range(len(group)), key=values.__getitem__)
                entries.append(RunEntry([group[index] for index in order], varied))
                rest = [row for row in rest if row not in group]
    entries += [RunEntry([row]) for row in rest]

    def rank(entry: RunEntry) -> tuple[bool, float]:
        score = entry.score(measure)
        return math.isnan(score), score if measure.lowest else -score

    return sorted(entries, key=rank)


def find_differences(entries: Sequence[RunEntry]) -> dict[str, list[Any]]:
    """The settings that are not the same in all entries whose run is known: a value for each entry, None where it has
    no such setting. What varies within an entry is left out there."""
    each = [entry.rows[0].settings() for entry in entries]
    known = [settings for settings in each if settings]
    keys = dict.fromkeys(key for settings in known for key in settings)
    varied = {entry.varied for entry in entries}
    values = {key: [settings.get(key) for settings in each] for key in keys if key not in varied}
    return {
        key: row for key, row in values.items() if any(settings.get(key) != known[0].get(key) for settings in known[1:])
    }
