"""Compare runs: different settings, scores with their intervals, classes, and the images that changed most.

Runs are sorted by the metric that they monitor, best first. Runs that differ only in their seed, or only in their fold,
share one line with mean and standard deviation. Intervals and the comparison image by image need an evaluation of each
run: python -m segtrain evaluate RUN. Nothing is written without -o.
"""

import argparse
from pathlib import Path

from segtrain.command import parse_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders, folders written by evaluate, or globs like 'runs/street-*'"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=parse_output,
        metavar="FOLDER",
        help="write compare.html, compare.csv and changes.csv to this folder",
    )
    parser.add_argument(
        "--trust", action="store_true", help="also run networks of your own and exported programs for the images"
    )


def main(options: argparse.Namespace) -> None:
    """Print the comparison and write it where -o says. Raises CheckpointError where nothing can be compared, DataError
    where the folder cannot be written."""
    from segtrain.commands.compare.compare import compare_runs, write_comparison
    from segtrain.commands.compare.report import format_comparison

    output: Path | None = options.output
    comparison = compare_runs(options.runs)
    print(format_comparison(comparison))
    if output is None:
        print("\nas a page with curves and images, and as CSV: -o FOLDER")
    else:
        print(f"\n{output}: {', '.join(write_comparison(output, comparison, trust=options.trust))}")
