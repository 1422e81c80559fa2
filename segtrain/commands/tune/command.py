"""Search for better values of an experiment: the keys and ranges of its section `tune`, with Optuna.

python -m segtrain tune experiments/x.yml                    search; the same command goes on with a search
python -m segtrain tune experiments/x.yml tune.trials=40     then 40 trials in all

Each trial is a training in a process and a run folder of its own. Trials that are behind half of the others are ended
early. Weights are kept of the best trial only.
"""

import argparse
from pathlib import Path

from segtrain.command import parse_output, require_libraries
from segtrain.config.rules import load_config
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "layers", nargs="*", metavar="experiment.yml | key.sub=value", help="merged into config.yml, in this order"
    )
    parser.add_argument(
        "-o", "--output", type=parse_output, metavar="FOLDER", help="folder of the search (default: RUNS_DIR/NAME-tune)"
    )


def main(options: argparse.Namespace) -> None:
    """Read and check the configuration, then search. Raises ConfigError where it has no section `tune`."""
    config = load_config(options.layers)
    if config.tune is None:
        raise ConfigError(
            "tune: is missing; write the ranges to search into the experiment, like tune: {ranges: {optimizer.lr: "
            "{low: 1e-4, high: 1e-2, log: true}}}"
        )
    require_libraries("tune", "tune", ["optuna"])
    folder: Path = options.output or config.runs_dir / f"{config.name}-tune"

    from segtrain.commands.tune.search import search

    search(config, options.layers, folder)
