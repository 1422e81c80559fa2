"""Look at a folder of images and one of masks, and write the experiment that trains on them."""

import argparse
from pathlib import Path

from segtrain.command import parse_output
from segtrain.errors import ConfigError

TABLE = ".csv"  # of the images, beside the experiment, where some look alike


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("images", help="folder or glob of the images")
    parser.add_argument("masks", help="folder or glob of the masks, of the same names")
    parser.add_argument(
        "-o", "--output", type=parse_output, default=Path("config.yml"), help="file to write (config.yml)"
    )


def main(options: argparse.Namespace) -> None:
    """Look at `options.images` and `options.masks`, and write `options.output`.

    Raises ConfigError where that exists, and DataError where the data do not give a training.
    """
    output: Path = options.output
    if output.suffix not in (".yml", ".yaml"):
        raise ConfigError(f"{output}: an experiment is a YAML file; write -o {output.with_suffix('.yml')}")
    for file in (output, output.with_suffix(TABLE)):
        if file.exists():
            raise ConfigError(f"{file}: exists; write -o another file, like -o experiments/mine.yml")
    from segtrain.commands.check.experiment import init_experiment

    init_experiment(options.images, options.masks, output, table=output.with_suffix(TABLE))
