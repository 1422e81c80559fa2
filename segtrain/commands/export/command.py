"""Export a model to ONNX, OpenVINO and other formats.

The exported model is compared with the original on images, and kept only if both agree.
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
    parser.add_argument("--to", required=True, choices=FORMS, help="format to export to")
    parser.add_argument(
        "-o", "--output", type=parse_output, metavar="PATH", help="file or folder to write (default: in the run folder)"
    )
    parser.add_argument("--labels", action="store_true", help="output class indices instead of probabilities")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--fp16", action="store_const", const="fp16", dest="precision", help="store weights in 16 bits", default="fp32"
    )
    precision.add_argument(
        "--int8",
        action="store_const",
        const="int8",
        dest="precision",
        help="quantize to 8 bits, calibrated on training images",
    )
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="accept only images of this size")
    parser.add_argument("--images", help="folder or glob of images for the comparison (default: the validation split)")
    parser.add_argument(
        "--max-difference",
        type=float,
        metavar="0.001",
        help="largest accepted difference of a probability (default: 0.001; with --fp16 0.05; with --int8 any)",
    )
    parser.add_argument(
        "--max-changed",
        type=float,
        metavar="0.001",
        help="largest accepted share of labels that change (default: 0.001; with --fp16 0.01; with --int8 0.1)",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        metavar="0.02",
        help="largest accepted loss of mIoU with --fp16 or --int8 (default: 0.02; with --int8 0.05)",
    )
    parser.add_argument("--trust", action="store_true", help="also load networks of your own, which can run any code")
    parser.add_argument("--push", metavar="OWNER/NAME", help="with --to hub: also push the folder to this repository")
    parser.add_argument("--license", help="with --to hub or space: license of the weights, for README.md")


def main(options: argparse.Namespace) -> int:
    """Export a run and return the exit status: 1 where the comparison fails."""
    form = FORMS[options.to]
    if options.precision not in form.precisions:
        others = [name for name, other in FORMS.items() if options.precision in other.precisions]
        raise ConfigError(
            f"--{options.precision}: --to {options.to} does not support it; write --to {', '.join(others)}"
        )
    if options.push and options.to != "hub":
        raise ConfigError("--push: needs --to hub")
    if options.license and options.to not in ("hub", "space"):
        raise ConfigError("--license: needs --to hub or --to space")
    if options.size is not None and min(options.size) < 1:
        raise ConfigError(f"--size {options.size[0]} {options.size[1]}: height and width must be at least 1")
    require_libraries(f"--to {options.to}", form.extra, form.libraries)

    from segtrain.commands.export.export import export_run

    if reason := export_run(options, form):
        print(reason, file=sys.stderr)
    return 1 if reason else 0
