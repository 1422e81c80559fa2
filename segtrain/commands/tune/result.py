"""Result of a search: its trials as a table, the best values as an experiment file, pictures."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
from optuna.trial import FrozenTrial, TrialState

from segtrain.commands.tune.pictures import draw_history, draw_keys
from segtrain.commands.tune.study import Study
from segtrain.config.layers import split_key
from segtrain.config.tree import dump_yaml, load_yaml
from segtrain.files import explained_write, write_whole

BEST_FILE, TABLE_FILE = "best.yml", "trials.csv"
HISTORY_FILE, KEYS_FILE = "history.png", "importance.png"
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "stopped early", TrialState.FAIL: "failed"}


def show_values(values: dict[str, str]) -> str:
    """`optimizer.lr=0.002 data.batch_size=8`, to be pasted into a shell."""
    return shlex.join(f"{key}={value}" for key, value in values.items())


def write_values(
    study: Study, folder: Path, run_of: Callable[[FrozenTrial], Path], *, monitor: str
) -> pandas.DataFrame:
    """Write what is known so far, trials.csv, and best.yml where a trial is complete; the table. Raises DataError where
    the disk refuses.

    Args:
        study: the search.
        folder: its folder.
        run_of: the run folder of a trial.
        monitor: name of the score.
    """
    table = make_table(study, monitor=monitor)
    write_whole(folder / TABLE_FILE, table.to_csv(index=False, lineterminator="\n"))
    if study.best is None:
        return table
    values = study.values(study.best)
    resolved = load_yaml(run_of(study.best) / "config.yml").plain()
    head = f"# Best of {len(table)} trials: {monitor} {study.best.value:.4f} (trial {study.best.number})\n"
    head += f"# {show_values(values)}\n"
    write_whole(folder / BEST_FILE, head + dump_yaml(make_layer(resolved, list(values))))
    return table


def draw_pictures(table: pandas.DataFrame, study: Study, folder: Path, *, monitor: str) -> None:
    """Draw history.png and importance.png of a table of `write_values`. Raises DataError where the disk refuses."""
    with explained_write(folder / HISTORY_FILE):
        draw_history(table, folder / HISTORY_FILE, monitor=monitor, lowest=study.lowest)
    with explained_write(folder / KEYS_FILE):
        draw_keys(table, study, folder / KEYS_FILE, monitor=monitor)


def make_table(study: Study, *, monitor: str) -> pandas.DataFrame:
    """A row for each trial that has ended: its number, state, score (nan where it failed), the last epoch, seconds of
    training, whether it is the experiment as written, the value of each key, and why it failed."""
    rows = []
    for trial in study.finished:
        facts = {"trial": trial.number, "state": STATES[trial.state], monitor: trial.value}
        facts |= {"epoch": trial.user_attrs.get("epoch"), "seconds": trial.user_attrs.get("seconds")}
        facts["as_written"] = bool(trial.user_attrs.get("as_written"))
        rows.append(facts | study.values(trial) | {"failure": trial.user_attrs.get("reason")})
    return pandas.DataFrame(rows)


def make_layer(resolved: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    """An experiment layer that sets keys to their values in a whole configuration. Lists and the loss, which a file
    replaces rather than merges, are written out in full."""
    layer: dict[str, Any] = {}
    for key in keys:
        parts, inner, value = split_key(key), layer, resolved
        for depth, part in enumerate(parts):
            value = value[part]
            if depth == len(parts) - 1 or isinstance(value, list) or part == "loss":
                inner[part] = value
                break
            inner = inner.setdefault(part, {})
    return layer
