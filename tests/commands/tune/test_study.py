"""The study: what is drawn, what is kept over an interruption, and what is said of a database that is no use."""

import os
import sqlite3

import pytest
from optuna.trial import TrialState

from segtrain.commands.tune import study as module
from segtrain.commands.tune.study import Study
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, DataError

RANGES = {
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "data.batch_size": {"low": 2, "high": 16},
    "loss.DiceLoss": {"low": 0, "high": 1},
    "schedule.pct_start": [0.1, 0.3, None],
}


def experiment(**values) -> Config:
    given = {
        "data": {"root": "x", "classes": ["a", "b"], "batch_size": 8},
        "loss": {"CrossEntropyLoss": 1, "DiceLoss": 0.5},
        "schedule": {"pct_start": 0.3},
        "tune": {"ranges": RANGES},
    }
    return Config.model_validate(given | values)


def score(values: dict[str, str]) -> float:
    return 1 - abs(float(values["optimizer.lr"]) - 0.02) - abs(int(values["data.batch_size"]) - 6) / 20


def run_trials(study: Study, count: int) -> list[dict[str, str]]:
    """`count` trials of three epochs; those that are behind end early."""
    drawn = []
    for _ in range(count):
        trial = study.next_trial()
        drawn.append(study.values(trial))
        best = score(drawn[-1])
        behind = any([study.report(trial, epoch, best * epoch / 30) for epoch in (10, 20, 30)])
        study.end(trial, TrialState.PRUNED if behind else TrialState.COMPLETE, best, seconds=1.0)
    return drawn


def test_the_experiment_itself_is_the_first_trial(tmp_path):
    study = Study(tmp_path / "study.db", experiment())
    assert study.as_written.number == 0
    assert run_trials(study, 1) == [
        {"optimizer.lr": "0.001", "data.batch_size": "8", "loss.DiceLoss": "0.5", "schedule.pct_start": "0.3"}
    ]


@pytest.mark.parametrize(
    "values", [{"optimizer": {"lr": 0.5}}, {"loss": {"CrossEntropyLoss": 1}}, {"schedule": {"pct_start": 0.2}}]
)
def test_it_is_not_where_a_value_is_outside_of_its_range(values, tmp_path):
    study = Study(tmp_path / "study.db", experiment(**values))
    assert study.as_written is None
    assert study.next_trial().number == 0


def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path):
    whole = run_trials(Study(tmp_path / "whole.db", experiment()), 12)
    parts = run_trials(Study(tmp_path / "parts.db", experiment()), 5)
    left = Study(tmp_path / "parts.db", experiment()).next_trial()  # and then the process is killed
    again = Study(tmp_path / "parts.db", experiment())
    assert [trial.number for trial in again.finished] == [0, 1, 2, 3, 4]
    assert again.next_trial().number == left.number == 5
    assert parts + run_trials(again, 7) == whole
    assert run_trials(Study(tmp_path / "other.db", experiment(seed=1)), 3)[1:] != whole[1:3]


def test_values_lie_in_their_ranges_and_the_search_learns(tmp_path):
    study = Study(tmp_path / "study.db", experiment())
    drawn = run_trials(study, 24)
    assert all(1e-4 <= float(values["optimizer.lr"]) <= 0.1 for values in drawn)
    assert {int(values["data.batch_size"]) for values in drawn} <= set(range(2, 17))
    assert {values["schedule.pct_start"] for values in drawn} <= {"0.1", "0.3", "null"}
    assert score(study.values(study.best)) == max(map(score, drawn)) > 0.9 > score(drawn[0])
    shares = study.importances()
    assert shares.keys() == RANGES.keys() and sum(shares.values()) == pytest.approx(1)
    assert shares["data.batch_size"] > max(shares["loss.DiceLoss"], shares["schedule.pct_start"])


def test_the_lowest_loss_is_the_best(tmp_path):
    study = Study(tmp_path / "study.db", experiment(train={"monitor": "min loss"}))
    for value in (0.7, 0.3, 0.5):
        study.end(study.next_trial(), TrialState.COMPLETE, value)
    assert study.best.number == 1


def test_trials_are_ended_early_behind_the_median(tmp_path):
    study = Study(tmp_path / "study.db", experiment(train={"epochs": 9}))
    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        trial = study.next_trial()
        assert not any([study.report(trial, epoch, value) for epoch in (1, 3, 6, 9)])  # the first five are not
        study.end(trial, TrialState.COMPLETE, value)
    trial = study.next_trial()
    assert not study.report(trial, 1, 0.1)  # of nine epochs three are waited for
    assert study.report(trial, 3, 0.69)  # the median is 0.7
    study.end(trial, TrialState.PRUNED, None)
    trial = study.next_trial()
    assert not study.report(trial, 3, 0.71)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": {"lr": 0.01}}, r"optimizer\.lr was 0\.001 and is now 0\.01"),
        (
            {"tune": {"ranges": {"optimizer.lr": [1, 2]}}},
            r"tune\.ranges\.data\.batch_size\.choices was null and is now not",
        ),
        ({"model": {"aux": 0.4}}, r"model\.aux was 0\.0 and is now 0\.4"),
    ],
)
def test_another_experiment_is_refused(values, said, tmp_path):
    Study(tmp_path / "study.db", experiment())
    with pytest.raises(ConfigError, match=rf"study\.db: is a search over another experiment; {said}.*; .* -o FOLDER"):
        Study(tmp_path / "study.db", experiment(**values))


def test_what_decides_nothing_may_differ(tmp_path):
    Study(tmp_path / "study.db", experiment())
    tune = {"ranges": RANGES, "trials": 99}
    assert Study(tmp_path / "study.db", experiment(log={"images": 0}, runs_dir="y", tune=tune)).trials == []


@pytest.mark.parametrize("name", ["a b", "100%", "{x}", "?mode=ro#x", "größe 图"])
def test_the_name_of_the_folder_means_nothing(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    run_trials(Study(folder / "study.db", experiment()), 2)
    assert len(Study(folder / "study.db", experiment()).finished) == 2
    assert os.listdir(tmp_path) == [name]


def test_a_locked_database_is_one_line_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    study = Study(tmp_path / "study.db", experiment())
    trial = study.next_trial()
    other = sqlite3.connect(tmp_path / "study.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match=r"study\.db: is locked by another program; close it, then repeat") as error:
        study.report(trial, 1, 0.5)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(DataError, match="is locked by another program"):
        Study(tmp_path / "study.db", experiment())
    other.rollback()
    assert Study(tmp_path / "study.db", experiment()).next_trial().number == trial.number


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_another_file_in_its_place_is_one_line(content, tmp_path):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(DataError, match=r"study\.db: cannot be used: ") as error:
        Study(tmp_path / "study.db", experiment())
    assert len(str(error.value).splitlines()) == 1
    assert (tmp_path / "study.db").read_bytes() == content


def test_a_truncated_database_is_one_line(tmp_path):
    run_trials(Study(tmp_path / "study.db", experiment()), 2)
    whole = (tmp_path / "study.db").read_bytes()
    (tmp_path / "study.db").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"study\.db: cannot be used: "):
        Study(tmp_path / "study.db", experiment()).next_trial()


def test_a_database_of_another_program_is_one_line(tmp_path):
    with sqlite3.connect(tmp_path / "study.db") as other:
        other.execute("CREATE TABLE studies (x)")
    with pytest.raises(DataError, match=r"study\.db: cannot be used: "):
        Study(tmp_path / "study.db", experiment())


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"study\.db: cannot be used: unable to open database file"):
        Study(tmp_path / "gone" / "study.db", experiment())
