"""Study: Optuna's record of a search in an SQLite file, and how values are drawn and trials are ended early."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from segtrain.config.layers import split_key
from segtrain.config.log_tune_schema import TuneRange
from segtrain.config.rules import is_whole
from segtrain.config.schema import Config
from segtrain.config.tree import flatten
from segtrain.errors import ConfigError, DataError, reason_of

DATABASE = "study.db"
LOCK_SECONDS = 20.0  # that another program may keep the database locked
EARLY_TRIALS = 5  # which are not ended early: there is nothing yet to compare them with
EARLY_SHARE = 1 / 3  # of the epochs, before which no trial is ended: rates still rise, and curves cross
FEWEST_TO_COMPARE = 8  # complete trials
MAY_DIFFER = ("log", "runs_dir")  # sections of the experiment that decide nothing


class Study:
    """A search: its trials, in the order of their numbers, and the values that each has as `key=value` texts.

    The values of trial n depend on the seed, on n and on the trials before it alone. A search that was interrupted
    therefore goes on as if it had not been.
    """

    def __init__(self, path: Path, config: Config):
        """Open or make the study at `path`. Raises DataError for a file that cannot be used, and ConfigError where that
        is the study of another experiment."""
        self.path, self.seed = path, config.seed
        self.ranges = config.tune.ranges
        self.whole = {key: is_whole(key, found) for key, found in self.ranges.items()}
        self.lowest = config.train.monitor.startswith("min ")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self._explained():
            self._study = optuna.create_study(
                storage=optuna.storages.RDBStorage("sqlite:///study.db", {"creator": self._connect}),
                pruner=optuna.pruners.MedianPruner(EARLY_TRIALS, round(EARLY_SHARE * config.train.epochs)),
                study_name="tune",
                direction="minimize" if self.lowest else "maximize",
                load_if_exists=True,
            )
            known = self._study.user_attrs.get("experiment")
        plain = config.model_dump(mode="json", exclude=set(MAY_DIFFER))
        plain["tune"] = config.tune.model_dump(mode="json", include={"ranges"})
        now = {key: json.dumps(value) for key, value in flatten(plain).items()}
        if known is None:
            self._begin(config, now)
        elif differing := sorted(key for key in now.keys() | known.keys() if now.get(key) != known.get(key)):
            raise ConfigError(
                f"{path}: is a search over another experiment; {differing[0]} was "
                f"{known.get(differing[0], 'not set')} and is now {now.get(differing[0], 'not set')}; start a new "
                f"search with -o FOLDER"
            )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far. One that is RUNNING was interrupted."""
        with self._explained():
            return self._study.get_trials(deepcopy=False, states=(*_FINISHED, TrialState.RUNNING))

    @property
    def finished(self) -> list[FrozenTrial]:
        """Those that are complete, were ended early or have failed."""
        return [trial for trial in self.trials if trial.state in _FINISHED]

    @property
    def best(self) -> FrozenTrial | None:
        """The complete trial of the best score; of equal ones the first."""
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return (min if self.lowest else max)(complete, key=lambda trial: trial.value, default=None)

    @property
    def as_written(self) -> FrozenTrial | None:
        """The first trial, where it has the values of the experiment."""
        with self._explained():
            trials = self._study.get_trials(deepcopy=False)  # that which waits for its turn, too
        return next((trial for trial in trials if trial.user_attrs.get("as_written")), None)

    def values(self, trial: FrozenTrial | Trial) -> dict[str, str]:
        """The value of each key, as `key=value` has it."""
        return {
            key: value if isinstance(value, str) else self.ranges[key].show(value, whole=self.whole[key])
            for key, value in trial.params.items()
        }

    def next_trial(self) -> Trial:
        """The interrupted trial if there is one, else a new one."""
        with self._explained():
            for trial in self.trials:
                if trial.state == TrialState.RUNNING:
                    return Trial(self._study, trial._trial_id)
            state = np.random.SeedSequence((self.seed, len(self.trials))).generate_state(1)
            self._study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
            return self._study.ask({key: self._distribution(key, found) for key, found in self.ranges.items()})

    def reported(self, trial: Trial) -> set[int]:
        """The epochs of a trial whose scores are noted: those before an interruption."""
        return next(set(known.intermediate_values) for known in self.trials if known.number == trial.number)

    def report(self, trial: Trial, epoch: int, score: float) -> bool:
        """Note the score of an epoch: whether the trial is to be ended early."""
        with self._explained():
            trial.report(score, epoch)
            return trial.should_prune()

    def end(self, trial: Trial, state: TrialState, score: float | None, **facts: Any) -> None:
        """Note how a trial has ended; `facts` are kept with it."""
        with self._explained():
            for name, value in facts.items():
                trial.set_user_attr(name, value)
            self._study.tell(trial, score if state == TrialState.COMPLETE else None, state)

    def importances(self) -> dict[str, float]:
        """The share of each key in what sets the best quarter of the complete trials apart, by PED-ANOVA (Watanabe,
        Bansal, Hutter, IJCAI 2023); empty where those are too few."""
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        if len(complete) < FEWEST_TO_COMPARE or len({trial.value for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _begin(self, config: Config, experiment: dict[str, str]) -> None:
        with self._explained():
            self._study.set_user_attr("experiment", experiment)
            written = {key: _written(config, key, found) for key, found in self.ranges.items()}
            if all(value is not None for value in written.values()):
                self._study.enqueue_trial(written, user_attrs={"as_written": True})

    def _distribution(self, key: str, found: TuneRange) -> BaseDistribution:
        if found.choices is not None:
            return CategoricalDistribution(found.ends())
        if self.whole[key]:
            return IntDistribution(round(found.low), round(found.high), log=found.log, step=round(found.step or 1))
        return FloatDistribution(found.low, found.high, log=found.log, step=found.step)

    def _connect(self) -> sqlite3.Connection:
        """A connection of our own: in the URL of a database some signs of a path would mean something else."""
        return sqlite3.connect(self.path, timeout=LOCK_SECONDS, check_same_thread=False)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OptunaError, sqlite3.Error, RuntimeError, KeyError) as error:
            cause = error
            while (below := getattr(cause, "orig", None) or cause.__cause__) is not None:
                cause = below
            reason = reason_of(cause)
            if "locked" in reason:
                reason = "is locked by another program; close it, then repeat the command to continue"
                raise DataError(f"{self.path}: {reason}") from error
            raise DataError(f"{self.path}: cannot be used: {reason}") from error


_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def _written(config: Config, key: str, found: TuneRange) -> Any:
    """The value of a key in the experiment, as its distribution has it; None where it is not of the range."""
    value: Any = config.model_dump(mode="json")
    for part in split_key(key):
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (KeyError, ValueError, IndexError, TypeError):
            return None
    if isinstance(value, dict) and "coef" in value:
        value = value["coef"]
    if found.choices is not None:
        return found.show(value) if value in found.choices else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not found.low <= value <= found.high:
        return None
    return value
