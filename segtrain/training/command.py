"""Train a segmentation model.

python train.py                                          train config.yml
python train.py experiments/x.yml train.epochs=5         merge files and single values into config.yml
python train.py --resume runs/street-1                   go on where a run was stopped
python train.py --check experiments/x.yml                build everything, read no data
"""

import argparse
import os

from segtrain.config.rules import load_config
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "layers", nargs="*", metavar="experiment.yml | key.sub=value", help="merged into config.yml, in this order"
    )
    parser.add_argument("--resume", metavar="RUN", help="run folder to go on with; key.sub=value still apply")
    parser.add_argument("--check", action="store_true", help="build everything but read no data, then exit")
    parser.add_argument(
        "--overfit", type=int, metavar="N", help="learn the first N images by heart: do network and data fit?"
    )


def main(options: argparse.Namespace) -> int:
    """Read and check the configuration, then train. A mistake in it is told before seconds of importing torch."""
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise ConfigError(f"{processes} processes were started, and a training is one; run it without torchrun")
    if options.overfit is not None and (options.overfit < 1 or options.resume is not None):
        raise ConfigError("--overfit N: at least one image, and without --resume")
    config = load_config(options.layers, resume=options.resume)

    from segtrain.training.train import check, train

    summary = check(config, resume=options.resume)
    if options.check:
        print(summary)
        return 0
    return train(config, resume=options.resume, overfit=options.overfit)
