"""Gathering of what is to be compared: paths and globs to rows; what cannot be compared, in a line each."""

import os
from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from segtrain.commands.compare.row import Measure, RunRow
from segtrain.errors import CheckpointError, name_some
from segtrain.files import is_glob, natural_order, quoted
from segtrain.inference.evaluation import INFO_FILE, NUMBERS_FILE, EvaluationRecord, read_evaluation
from segtrain.log.record import RunRecord, read_record

BEST_FILE = "best.pt"
MOST_NAMED = 6  # classes, runs


def gather_rows(arguments: Sequence[str], problems: list[str]) -> list[RunRow]:
    """The rows of runs, globs and evaluation folders, each path once; what is missing or broken adds a line to
    `problems`. Runs take the newest evaluation of the validation split that their best.pt has."""
    found: dict[str, tuple[Path, RunRecord | None, EvaluationRecord | None]] = {}
    for path in _find_paths(arguments, problems):
        key = os.path.abspath(path)
        try:
            if key not in found:
                found[key] = _read(path)
        except CheckpointError as error:
            problems.append(str(error))
        except OSError as error:  # no permission, a name that is too long
            problems.append(f"{path}: cannot be read: {error.strerror}")
    runs = any(evaluation is None for _, _, evaluation in found.values())
    split = "val" if runs else next((e.info.split for _, _, e in found.values()), "val")
    names = _tell_apart({key: Path(key).parts for key in found}, {key for key in found if found[key][2] is not None})
    rows = []
    for key, (path, record, evaluation) in found.items():
        if evaluation is None:
            rows.append(RunRow(path, names[key], record, find_evaluation(record, split, problems)))
        elif evaluation.info.split != split:
            problems.append(f"{path}: scores the {evaluation.info.split} split, but the others {split}; left out")
        else:
            rows.append(RunRow(path, names[key], _find_run(evaluation), evaluation, is_evaluation=True))
    return rows


def _find_paths(arguments: Sequence[str], problems: list[str]) -> list[Path]:
    paths: list[Path] = []
    for argument in arguments:
        if is_glob(argument) and not os.path.exists(argument):
            matches = [Path(match) for match in sorted(glob(argument, recursive=True), key=natural_order)]
            folders = [path for path in matches if path.is_dir()]
            if not folders:
                problems.append(f"{quoted(argument)}: matches no folder")
            paths += folders
        else:
            paths.append(Path(argument))
    return paths


def _read(path: Path) -> tuple[Path, RunRecord | None, EvaluationRecord | None]:
    if path.is_file():
        raise CheckpointError(f"{path}: is a file; give the folder of a run, like {path.parent}")
    if (path / INFO_FILE).exists() or (path / NUMBERS_FILE).exists():
        return path, None, read_evaluation(path)
    if not (path / "config.yml").exists() and any(path.glob("*/config.yml")):
        raise CheckpointError(f"{path}: is not a run folder; write '{path}/*' for the runs in it")
    return path, read_record(path), None


def _tell_apart(parts: dict[str, tuple[str, ...]], evaluations: set[str]) -> dict[str, str]:
    """The shortest ends of paths that tell them apart, all of as many folders, evaluations with that of the run."""
    count, names = 0, {}
    while len(set(names.values())) < len(parts):
        count += 1
        names = {path: "/".join(each[-count - (path in evaluations) :]) for path, each in parts.items()}
    return names


def find_evaluation(record: RunRecord, split: str, problems: list[str]) -> EvaluationRecord | None:
    """The newest evaluation of a run's best.pt alone, as it is now; None where there is none. One that is broken adds a
    line to `problems`."""
    folders = record.folder.glob(f"evaluation-{split}-*")
    for folder in sorted(folders, key=lambda folder: natural_order(folder.name), reverse=True):
        try:
            evaluation = read_evaluation(folder)
        except CheckpointError as error:
            if (folder / INFO_FILE).exists():  # else of an older version
                problems.append(str(error))
            continue
        info = evaluation.info
        of_best = len(info.models) == 1 and (Path(info.models[0]).suffix != ".pt" or info.models[0].endswith(BEST_FILE))
        if of_best and record.best is not None and info.epoch == record.best["epoch"]:
            return evaluation
    return None


def _find_run(evaluation: EvaluationRecord) -> RunRecord | None:
    """The run that the one model of an evaluation is from: the folder that it lies in, or the path that was given."""
    if len(evaluation.info.models) == 1:
        model = Path(evaluation.info.models[0])
        for folder in (evaluation.folder.parent, model, model.parent):
            try:
                return read_record(folder)
            except CheckpointError:
                continue
    return None


def choose_measure(rows: Sequence[RunRow], problems: list[str]) -> tuple[list[RunRow], Measure]:
    """The rows that can be compared, and by what: the metric that all runs monitor, else mIoU; over the classes that
    all rows have. Rows that share no class with most of the others are left out, with a line in `problems`."""
    sets = Counter(frozenset(row.classes) for row in rows)
    most = max(sets, key=sets.__getitem__)
    for row in rows:
        if not most & set(row.classes):
            names = name_some(row.classes, MOST_NAMED)
            problems.append(f"{row.path}: its classes ({names}) differ from those of the others; left out")
    rows = [row for row in rows if most & set(row.classes)]
    names = tuple(name for name in rows[0].classes if all(name in row.classes for row in rows))
    if not names:
        names = tuple(sorted(most))
        for row in rows:
            if not most <= set(row.classes):
                problems.append(f"{row.path}: has different classes than most of the others; left out")
        rows = [row for row in rows if most <= set(row.classes)]
    whole = all(set(row.classes) == set(names) for row in rows)
    if not whole:
        others = list(dict.fromkeys(name for row in rows for name in row.classes if name not in names))
        problems.append(
            f"the classes differ: comparing {name_some(names, MOST_NAMED)}, which all have; leaving out "
            f"{name_some(others, MOST_NAMED)}"
        )
    if len(modes := {row.mode: row.name for row in rows}) > 1:
        listed = ", ".join(f"{name} is {mode}" for mode, name in modes.items())
        problems.append(f"the tasks differ ({listed}): classes of the same name may have different meanings")
    return rows, Measure(_choose_key(rows, names, whole, problems), names, whole)


def _choose_key(rows: Sequence[RunRow], names: Sequence[str], whole: bool, problems: list[str]) -> str:
    monitors = {row.record.monitor.removeprefix("val/") for row in rows if row.record is not None}
    key = monitors.pop() if len(monitors) == 1 else "miou"
    if monitors:
        problems.append(f"the runs monitor different metrics ({', '.join(sorted(monitors))}): comparing mIoU instead")
        return "miou"
    _, _, name = key.partition("/")
    if key == "loss" and any(row.is_evaluation for row in rows):
        problems.append("an evaluation has no loss, which the runs monitor: comparing mIoU instead")
        return "miou"
    if (name and name not in names) or (not whole and not name and key != "miou"):
        problems.append(f"{key} is not over the same classes everywhere: comparing mIoU instead")
        return "miou"
    return key
