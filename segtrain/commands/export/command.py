"""Export a model to ONNX, OpenVINO and other forms.

The form is compared with the original on images, and kept where both agree.
"""

import argparse
import sys
from pathlib import Path

from segtrain.command import parse_output, require_libraries
from segtrain.commands.export.forms import FORMS
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("run", type=Path, help="run folder (its best.pt) or checkpoint")
    parser.add_argument("--to", required=True, choices=FORMS, help="format to write")
    parser.add_argument(
        "-o", "--output", type=parse_output, metavar="PATH", help="file or folder; default: in the run folder"
    )
    parser.add_argument("--labels", action="store_true", help="class indices come out instead of probabilities")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--fp16", action="store_const", const="fp16", dest="precision", help="weights of 16 bits", default="fp32"
    )
    precision.add_argument(
        "--int8", action="store_const", const="int8", dest="precision", help="8 bits, calibrated on training images"
    )
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="images of this size only")
    parser.add_argument("--images", help="folder or glob of images to compare with; default: the validation split")
    parser.add_argument(
        "--max-difference",
        type=float,
        metavar="0.001",
        help="largest difference of a probability that passes; default: 0.001, with --fp16 0.05, with --int8 any",
    )
    parser.add_argument(
        "--max-changed",
        type=float,
        metavar="0.001",
        help="share of the labels that may change; default: 0.001, with --fp16 0.01, with --int8 0.1",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        metavar="0.02",
        help="mIoU that may be lost with --fp16 or --int8; default: 0.02, with --int8 0.05",
    )
    parser.add_argument("--trust", action="store_true", help="load a network of your own, which can run any code")
    parser.add_argument("--push", metavar="OWNER/NAME", help="with --to hub: push the folder there as well")
    parser.add_argument("--licence", help="with --to hub or space: licence of the weights, for README.md")


def main(options: argparse.Namespace) -> int:
    """Export a run and return the exit status: 1 where the comparison fails."""
    form = FORMS[options.to]
    if options.precision not in form.precisions:
        others = [name for name, other in FORMS.items() if options.precision in other.precisions]
        raise ConfigError(f"--{options.precision}: --to {options.to} has no such form; write --to {', '.join(others)}")
    if options.push and options.to != "hub":
        raise ConfigError("--push: goes with --to hub alone")
    if options.licence and options.to not in ("hub", "space"):
        raise ConfigError("--licence: goes with --to hub or --to space")
    if options.size is not None and min(options.size) < 1:
        raise ConfigError(f"--size {options.size[0]} {options.size[1]}: a height and a width of at least 1")
    require_libraries(f"--to {options.to}", form.extra, form.libraries)

    from segtrain.commands.export.export import export_run

    if reason := export_run(options, form):
        print(reason, file=sys.stderr)
    return 1 if reason else 0
