"""Search for better hyperparameters with Optuna, over the keys and ranges in the section `tune` of an experiment.

python -m segtrain tune experiments/x.yml                    search; repeat the command to continue
python -m segtrain tune experiments/x.yml tune.trials=40     continue to 40 trials in total

Each trial is a training in its own process and run folder. Trials that are worse than half of the others are stopped
early. Only the weights of the best trial are kept.
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
