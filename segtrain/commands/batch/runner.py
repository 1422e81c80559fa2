"""Runner of a batch: starts the processes of its runs, so many at a time, watches them, and stops them."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tqdm import tqdm

from segtrain.command import Stopped
from segtrain.commands.batch.child import Child, count_epochs, find_gpus, start_child
from segtrain.commands.batch.estimate import Pace, estimate_seconds
from segtrain.commands.batch.plan import PlannedRun
from segtrain.errors import CheckpointError
from segtrain.log.record import FINISHED, RUNNING, RunRecord
from segtrain.memory import count_cores

_POLL_SECONDS = 0.2
LOOK_SECONDS = 2.0  # between two looks at a run that another process trains
REFUSED = 2  # exit status of a process that found another one in its run folder, or a mistake of the user


class BatchRunner:
    """Trains the runs that are not finished, `parallel` at a time. `failures`: of each run that failed, the reason."""

    def __init__(self, runs: Sequence[PlannedRun], *, parallel: int) -> None:
        self.runs, self.parallel = runs, parallel
        self.failures: dict[str, str] = {}
        self._waiting = list(runs)
        self._children: list[Child] = []
        self._elsewhere: set[str] = set()
        self._looked = float("-inf")
        self._signals: list[int] = []
        self._gpus = find_gpus() if parallel > 1 else []
        self._threads = max(count_cores() // parallel, 1) if parallel > 1 else None
        self._paces = {run.name: Pace(run.config.name, run.config.train.epochs - count_epochs(run)) for run in runs}
        self._ended: int | None = None
        self._bar = tqdm(
            total=sum(run.config.train.epochs for run in runs),
            disable=not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
            bar_format="{n_fmt}/{total_fmt} epochs of all runs |{bar}| {postfix[0]}",
            postfix=[""],
        )

    def run(self) -> dict[str, str]:
        """Train until all runs are finished or have failed: `failures`. Raises Stopped after a signal, when the
        processes have saved and ended; a second one kills them."""
        heard, runs, experiments = 0, len(self.runs), len({run.config.name for run in self.runs})
        counts = f"{runs} run{'s' * (runs > 1)} of {experiments} experiment{'s' * (experiments > 1)}"
        self._say(f"{counts}, {self.parallel} at a time")
        with _noting_signals(self._signals):
            try:
                while self._children or (self._waiting and not self._signals):
                    if len(self._signals) > heard:
                        heard = len(self._signals)
                        self._stop(kill=heard > 1)
                    if not self._signals:
                        self._start_waiting()
                    self._watch()
                    time.sleep(_POLL_SECONDS)
            finally:
                for child in self._children:  # after an error of our own
                    child.process.terminate()
                self._bar.close()
        if self._signals:
            done = sum(pace.left == 0 for pace in self._paces.values()) - len(self.failures)
            text = f"stopped: {done} of {len(self.runs)} runs are finished; repeat the command to continue"
            raise Stopped(self._signals[0], text)
        return self.failures

    def _stop(self, *, kill: bool) -> None:
        if self._children:
            self._say(
                "killing the runs" if kill else "stopping: saving the running trainings first; press again to kill them"
            )
        for child in self._children:
            child.process.kill() if kill else child.process.terminate()

    def _start_waiting(self) -> None:
        """Start runs while there is room; those that another process trains are left for later."""
        now = time.monotonic()
        if len(self._children) >= self.parallel or (self._elsewhere and now - self._looked < LOOK_SECONDS):
            return
        self._looked = now
        for run in list(self._waiting):
            if len(self._children) >= self.parallel:
                return
            try:
                record = run.read()
            except CheckpointError as error:
                self._waiting.remove(run)
                self._fail(run, str(error))
                continue
            if record is not None and record.state == RUNNING:
                self._leave(run)
                self._paces[run.name].left = run.config.train.epochs - count_epochs(run)
                continue
            self._waiting.remove(run)
            if record is not None and record.state == FINISHED:
                by_other = run.name in self._elsewhere
                self._finish(run, record, "finished by another process" if by_other else "was already finished")
            else:
                self._start(run)
            self._elsewhere.discard(run.name)

    def _leave(self, run: PlannedRun) -> None:
        if run.name not in self._elsewhere:
            self._say(f"{run.name}: another process is training it; waiting until it ends")
        self._elsewhere.add(run.name)

    def _start(self, run: PlannedRun) -> None:
        busy = [child.gpu for child in self._children]
        gpu = min(self._gpus, key=busy.count, default=None)
        child = start_child(run, gpu=gpu, threads=self._threads)
        self._children.append(child)
        where = f" on GPU {gpu}" if gpu is not None else ""
        self._say(f"{run.name}: {f'resumed after epoch {child.before}' if child.before else 'started'}{where}")

    def _watch(self) -> None:
        """Note the epochs that were trained, and the processes that have ended."""
        for child in list(self._children):
            run, pace, status = child.run, self._paces[child.run.name], child.process.poll()
            trained = count_epochs(run) - child.before
            if trained > pace.epochs:
                pace.epochs, pace.seconds = trained, child.seconds
                pace.left = run.config.train.epochs - child.before - trained
            pace.since = child.seconds - pace.seconds
            if status is not None:
                pace.since = 0.0
                self._children.remove(child)
                self._end(child, status)
        self._show()

    def _end(self, child: Child, status: int) -> None:
        run, took = child.run, tqdm.format_interval(child.seconds)
        try:
            record = run.read()
        except CheckpointError as error:
            return self._fail(run, str(error))
        state = None if record is None else record.state
        if status == 0:
            self._finish(run, record, f"finished in {took}")
        elif self._signals:
            self._say(f"{run.name}: stopped after {took}")
        elif status == REFUSED and state in (RUNNING, FINISHED):
            self._leave(run)
            self._waiting.append(run)
        else:
            self._fail(run, f"{child.explain_end()} ({took}; {run.console})")

    def _finish(self, run: PlannedRun, record: RunRecord, how: str) -> None:
        pace, score = self._paces[run.name], record.summary.get("best/score")
        if not pace.epochs:
            pace.epochs, pace.seconds = record.summary.get("epochs", 0), record.summary.get("seconds", 0.0)
        pace.left = 0
        monitor = run.config.train.monitor
        self._say(f"{run.name}: {how}, {f'no {monitor}' if score is None else f'{monitor} {score:.4f}'}")

    def _fail(self, run: PlannedRun, reason: str) -> None:
        self.failures[run.name] = reason
        self._paces[run.name].left = 0
        self._say(f"{run.name}: failed: {reason}")

    def _show(self) -> None:
        """The time that is left: in the bar on a terminal; elsewhere in a line when it is first known, and after each
        run."""
        paces = list(self._paces.values())
        seconds = estimate_seconds(paces, parallel=self.parallel)
        rest = f"about {tqdm.format_interval(seconds)} left" if seconds else ""
        self._bar.n, self._bar.postfix = self._bar.total - sum(pace.left for pace in paces), [rest]
        self._bar.refresh()
        ended = len(self.runs) - len(self._waiting) - len(self._children)
        if self._bar.disable and rest and ended != self._ended and not self._signals:
            self._ended = ended
            self._say(rest)

    def _say(self, text: str) -> None:
        """Print a line above the bar. A full disk or a closed pipe behind stdout ends no batch."""
        with suppress(OSError):
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()


@contextmanager
def _noting_signals(noted: list[int]) -> Iterator[None]:
    """Append to `noted` what asks to stop: SIGINT, SIGTERM, and SIGHUP, of a terminal that is closed, without nohup."""
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number]
    numbers = [number for number in numbers if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: noted.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
