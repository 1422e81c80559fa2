"""Find a learning rate: train a few steps while the learning rate rises, and find where the loss falls fastest (Smith:
Cyclical Learning Rates for Training Neural Networks, WACV 2017, arXiv 1506.01186).

python -m segtrain lr-find experiments/x.yml

Loss, optimizer, precision and encoder_lr_factor are those of the experiment; its schedule is not used. The weights are
discarded.
"""

import argparse
from pathlib import Path

from segtrain.command import parse_output
from segtrain.config.rules import load_config
from segtrain.errors import ConfigError

FEWEST_STEPS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "layers", nargs="*", metavar="experiment.yml | key.sub=value", help="merged into config.yml, in this order"
    )
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="optimizer steps (100)")
    parser.add_argument(
        "-o",
        "--output",
        type=parse_output,
        metavar="FOLDER",
        help="folder to write to (default: RUNS_DIR/NAME-lr-find)",
    )


def main(options: argparse.Namespace) -> None:
    """Read and check the configuration, then train the steps and write what they gave."""
    if options.steps < FEWEST_STEPS:
        raise ConfigError(f"--steps {options.steps}: too few for a curve; write {FEWEST_STEPS} or more")
    config = load_config(options.layers)

    from segtrain.commands.lr_find.find import find_rate

    find_rate(
        config,
        options.layers,
        steps=options.steps,
        folder=options.output or Path(config.runs_dir, f"{config.name}-lr-find"),
    )
