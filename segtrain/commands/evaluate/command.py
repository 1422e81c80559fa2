"""Score a model, an ensemble, or existing predictions on a split of a dataset.

Images are scored at their original size. The data are those of the first model's run; data.KEY=VALUE overrides them
(data.root=.. if they have moved). The batch size is that of the training unless --batch-size is given.
"""

import argparse
from pathlib import Path

from segtrain.command import parse_output
from segtrain.errors import ConfigError
from segtrain.inference.options import InferOptions, add_infer_arguments, read_infer_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL | data.key=value",
        help="run folders (their best.pt), checkpoints or exported files; several form an ensemble",
    )
    parser.add_argument("--split", default="val", help="val (default), test, train, or another split of the format")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="RUN | experiment.yml",
        help="take the description of the data from here instead of from the first model",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="score the PNG or TIFF predictions in this folder instead of running a model",
    )
    parser.add_argument(
        "--numbering",
        choices=("index", "data"),
        default="index",
        help="what the files of --against contain: class indices or colors (default), or the values of the dataset's "
        "masks",
    )
    parser.add_argument("--partial", action="store_true", help="score only the images for which --against has a file")
    parser.add_argument(
        "--tune-threshold",
        action="store_true",
        help="find the thresholds with the best IoU and save them for the model",
    )
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases as a separate run")
    parser.add_argument(
        "-o",
        "--output",
        type=parse_output,
        metavar="FOLDER",
        help="folder to write to (default: a new RUN/evaluation-SPLIT-1, -2, ..)",
    )
    add_infer_arguments(parser)
    parser.set_defaults(batch_size=None)  # then that of the training, which the evaluation knows


def main(options: argparse.Namespace) -> None:
    """Refuse what does not go together, then evaluate."""
    infer = read_options(options)

    from segtrain.commands.evaluate.evaluate import evaluate

    evaluate(options, infer)


def read_options(options: argparse.Namespace) -> InferOptions:
    """How the model is applied. Raises ConfigError for arguments that do not go together."""
    infer = read_infer_options(options)
    applied = infer != InferOptions(batch_size=infer.batch_size)
    tuning = options.tune_threshold
    apart = (options.numbering != "index" or options.partial) and not options.against
    checks = [
        (apart, "--numbering and --partial need --against FOLDER; add it or remove them"),
        (options.against and applied, "--against scores predictions as they are; remove the flags for running a model"),
        (options.against and tuning, "--against does not have probabilities; remove --tune-threshold"),
        (options.against and options.wandb, "--wandb logs predictions of the run itself; remove it or --against"),
        (
            tuning and options.split == "test",
            "--tune-threshold: choosing thresholds on the test split would bias its score; use --split val",
        ),
        (tuning and infer.vote, "--tune-threshold: votes do not have thresholds; remove --vote"),
        (tuning and infer.thresholds, "--tune-threshold finds what --threshold sets; remove one of them"),
    ]
    for wrong, message in checks:
        if wrong:
            raise ConfigError(message)
    return infer
