"""Train a segmentation model.

python train.py                                          train config.yml
python train.py experiments/x.yml train.epochs=5         merge files and single values into config.yml
python train.py --resume runs/street-1                   resume a run that was stopped
python train.py --check experiments/x.yml                build everything without reading data
"""

import argparse
from pathlib import Path

from segtrain.command import is_shared
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "layers", nargs="*", metavar="experiment.yml | key.sub=value", help="merged into config.yml, in this order"
    )
    parser.add_argument("--resume", metavar="RUN", help="run folder to resume; key.sub=value still apply")
    parser.add_argument(
        "--run-folder",
        metavar="FOLDER",
        type=Path,
        help="start a run in this folder, or resume it if it exists, so that the command can be repeated",
    )
    parser.add_argument("--check", action="store_true", help="build everything without reading data, then exit")
    parser.add_argument(
        "--overfit", type=int, metavar="N", help="memorize the first N images, to test network and data"
    )


def main(options: argparse.Namespace) -> int:
    """Read and check the configuration, then train. Mistakes are reported before torch is imported, which takes
    seconds."""
    if options.run_folder is not None and options.resume is not None:
        raise ConfigError("--run-folder FOLDER already resumes the run in it; remove --resume")
    if options.overfit is not None and (options.overfit < 1 or options.resume is not None or is_shared()):
        raise ConfigError("--overfit N: needs at least one image, no --resume, and a single process")
    if is_shared():
        from segtrain.distributed import from_first

        config, resume = from_first(lambda: _read(options))
    else:
        config, resume = _read(options)

    from segtrain.training.train import check, train

    summary = check(config, resume=resume)
    if options.check:
        print(summary)
        return 0
    return train(config, resume=resume, folder=options.run_folder, overfit=options.overfit)[1]


def _read(options: argparse.Namespace) -> tuple[Config, str | None]:
    """The configuration, and the run folder to resume."""
    has_begun = options.run_folder is not None and (options.run_folder / "last.pt").is_file()
    resume = str(options.run_folder) if has_begun else options.resume
    return load_config(options.layers, resume=resume), resume
