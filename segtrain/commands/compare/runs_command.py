"""List the runs in a folder, newest first: state, best score and epoch so far, and the time since the last change."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("runs"), help="folder that contains runs (default: runs)"
    )


def main(options: argparse.Namespace) -> None:
    """Print a line for each run of the folder. Raises CheckpointError where there is none."""
    from segtrain.commands.compare.listing import format_runs

    print(format_runs(options.folder))
