"""Search: trial after trial, until there are as many as the experiment asks for."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from segtrain.command import Stopped, StopSignal
from segtrain.commands.tune.result import (
    BEST_FILE,
    HISTORY_FILE,
    KEYS_FILE,
    TABLE_FILE,
    draw_pictures,
    show_values,
    write_values,
)
from segtrain.commands.tune.study import DATABASE, Study
from segtrain.commands.tune.trial import drop_weights, read_scores, run_training
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, TrainingError
from segtrain.files import explained_write
from segtrain.training.child import explain_end

MOST_FAILURES = 3  # trials at the start, in a row: then it is not their values


def search(config: Config, layers: Sequence[str], folder: Path) -> None:
    """Begin the search of `folder` or go on with it, to `config.tune.trials` trials in all.

    Raises ConfigError where another process searches in the folder or the search there is one of another experiment,
    DataError where the folder or the database cannot be used, TrainingError where no trial comes to an end, and Stopped
    where a signal stops it; the trial at work is saved then, and the next search goes on with it.

    Args:
        config: the experiment, with its section `tune`.
        layers: what it was made of, for the trainings.
        folder: for the database, the run folders and the result.
    """
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(
                f"{folder}: another search is running in it; wait until it ends or write -o FOLDER"
            ) from error
    stop = StopSignal()
    try:
        _Search(config, layers, folder, stop).run()
    finally:
        stop.release()
        lock.release()


class _Search:
    def __init__(self, config: Config, layers: Sequence[str], folder: Path, stop: StopSignal):
        self.config, self.layers, self.folder, self.stop = config, layers, folder, stop
        self.study = Study(folder / DATABASE, config)
        self.monitor = config.train.monitor.removeprefix("min ")
        self.failures = 0

    def run(self) -> None:
        trials, keys, done = self.config.tune.trials, len(self.study.ranges), len(self.study.finished)
        goal = "lowest" if self.study.lowest else "highest"
        print(
            f"search   {self.folder}: {done} of {trials} trials are complete; {keys} keys, by the {goal} {self.monitor}"
        )
        if not done and self.study.as_written is None:
            print(
                "note: a value of the experiment is outside its range, so the experiment itself is not among the trials"
            )
        try:
            while len(self.study.finished) < trials:
                self._run_trial(self.study.next_trial())
                write_values(self.study, self.folder, self._run_of, monitor=self.monitor)
                if self.failures == MOST_FAILURES:
                    raise TrainingError(f"the first {MOST_FAILURES} trials failed; see {self.folder}/trial-*.log")
        finally:
            if self.study.best is not None:
                table = write_values(self.study, self.folder, self._run_of, monitor=self.monitor)
                draw_pictures(table, self.study, self.folder, monitor=self.monitor)
        self._report()

    def _run_of(self, trial: FrozenTrial | Trial) -> Path:
        return self.folder / f"{self.config.name}-trial-{trial.number}"

    def _run_trial(self, trial: Trial) -> None:
        """Train to the end of one trial. Raises Stopped where a signal has come in before that."""
        run, log, epochs = self._run_of(trial), self.folder / f"trial-{trial.number}.log", self.config.train.epochs
        column, values = f"val/{self.monitor}", self.study.values(trial)
        reported, is_behind = self.study.reported(trial), False

        def goes_on() -> bool:
            nonlocal is_behind
            for epoch, score in read_scores(run, column).items():
                if epoch not in reported and not is_behind:
                    reported.add(epoch)
                    is_behind = self.study.report(trial, epoch, score) and epoch < epochs
            return not is_behind and not self.stop.number

        arguments = [*self.layers, *(f"{key}={value}" for key, value in values.items())]
        if self.config.log.wandb.group is None:
            arguments.append(f"log.wandb.group={self.config.name}-tune")
        status = run_training(arguments, run, log, goes_on=goes_on)
        goes_on()  # the last epochs
        if self.stop.number and status != 0 and not is_behind:
            raise Stopped(
                self.stop.number, f"stopped in trial {trial.number}, which is saved; repeat the command to continue"
            )
        scores = read_scores(run, column)
        best = (min if self.study.lowest else max)(scores, key=scores.get, default=None)
        state = TrialState.COMPLETE if status == 0 and scores else TrialState.FAIL
        state = TrialState.PRUNED if is_behind else state
        seconds = sum(read_scores(run, "train_seconds").values())
        reason = explain_end(status, log) if state == TrialState.FAIL else ""
        self.study.end(trial, state, scores.get(best), seconds=seconds, epoch=max(scores, default=0), reason=reason)
        for ended in self.study.finished:
            if self.study.best is None or ended.number != self.study.best.number:
                drop_weights(self._run_of(ended))
        self._tell(trial, values, state, scores.get(best), max(scores, default=0), reason)

    def _tell(
        self, trial: Trial, values: dict[str, str], state: TrialState, score: float | None, epoch: int, reason: str
    ) -> None:
        """Print what a trial gave."""
        text = {
            TrialState.COMPLETE: f"{self.monitor} {score or 0:.4f}",
            TrialState.PRUNED: f"stopped after epoch {epoch}, {self.monitor} {score or 0:.4f}",
            TrialState.FAIL: f"failed: {reason}",
        }[state]
        is_best = self.study.best is not None and trial.number == self.study.best.number
        print(f"trial {trial.number:<3} {text}  {show_values(values)}{'  best' if is_best else ''}", flush=True)
        self.failures = self.failures + 1 if state == TrialState.FAIL and self.failures >= 0 else -1

    def _report(self) -> None:
        best, written = self.study.best, self.study.as_written
        if best is None:
            raise TrainingError(f"no trial was completed; see {self.folder}/trial-*.log")
        than = ""
        if written is not None and written.value is not None:
            than = f"; the experiment as written (trial {written.number}) {written.value:.4f}"
        print(f"\nbest     trial {best.number}: {self.monitor} {best.value:.4f}{than}")
        print(f"values   {show_values(self.study.values(best))}")
        print(f"train    {shlex.join(['python', 'train.py', *self.layers, str(self.folder / BEST_FILE)])}")
        print("note: the best score of many is too high by chance; retrain it with other seeds before you trust it")
        made = (BEST_FILE, TABLE_FILE, HISTORY_FILE, KEYS_FILE, self._run_of(best).name)
        print(f"{self.folder}: {', '.join(made)}")
