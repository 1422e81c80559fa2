"""Train several experiments, each with several seeds and folds. Each run is a process and has the name of all three.

python -m segtrain batch experiments/a.yml experiments/b.yml --seeds 0,1,2
python -m segtrain batch experiments/a.yml --folds all -- data.folds=5 train.epochs=20

Repeat the command to continue: finished runs are skipped, stopped runs are resumed. A run that fails does not stop the
others; the exit status is then 1.
"""

import argparse
import importlib.util
import subprocess
import sys

from segtrain.command import is_shared, tell
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="experiment.yml | key.sub=value",
        help="each file is an experiment, merged into config.yml; the values apply to all of them",
    )
    parser.add_argument(
        "--seeds",
        type=parse_numbers,
        default=[None],
        metavar="0,1,..",
        help="train each experiment with each of these seeds",
    )
    parser.add_argument(
        "--folds",
        type=parse_folds,
        default=[None],
        metavar="all | 0,1,..",
        help="validate on each of these folds (of data.folds)",
    )
    parser.add_argument(
        "--parallel",
        type=parse_parallel,
        default=1,
        metavar="N",
        help="train N runs at a time, each on its own GPU (1)",
    )


def parse_numbers(text: str) -> list[int]:
    """Whole numbers with commas between them, each once. Raises ArgumentTypeError for anything else."""
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected integers like 0,1,2, not {text!r}") from error


def parse_folds(text: str) -> list[int] | None:
    """`all`, which is None, or numbers of folds. Raises ArgumentTypeError for anything else."""
    try:
        return None if text == "all" else parse_numbers(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"expected all or folds like 0,1,2, not {text!r}") from error


def parse_parallel(text: str) -> int:
    """A number from 1 on. Raises ArgumentTypeError for anything else."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a number of runs of at least 1, not {text!r}")
    return int(text)


def main(options: argparse.Namespace) -> int:
    """Check all runs, train those that are not finished, and report. The exit status: 1 where one failed, else 0."""
    if is_shared():
        raise ConfigError("batch itself starts a process for each run; run it without torchrun")

    from segtrain.commands.batch.plan import plan_runs
    from segtrain.commands.batch.runner import BatchRunner

    runs = plan_runs(options.arguments, seeds=options.seeds, folds=options.folds)
    failures = BatchRunner(runs, parallel=options.parallel).run()
    finished = [run for run in runs if run.name not in failures]
    if any(run.fold is not None for run in finished):
        from segtrain.commands.batch.folds import report_folds

        report_folds(finished)
    if finished and importlib.util.find_spec("segtrain.commands.compare"):
        print(flush=True)
        folders = [str(run.folder) for run in finished]
        subprocess.run([sys.executable, "-m", "segtrain", "compare", *folders], check=False)
    if failures:
        tell(f"{len(failures)} of {len(runs)} runs failed: {', '.join(failures)}")
    return 1 if failures else 0
