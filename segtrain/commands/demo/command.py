"""Draw the demo dataset: street scenes that are drawn, not downloaded."""

import argparse

from segtrain.command import parse_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("root", type=parse_output, help="folder to write it to, like data/street")


def main(options: argparse.Namespace) -> None:
    """Draw the dataset where it is missing."""
    from segtrain.commands.demo.demo import draw_demo

    draw_demo(options.root)
    print(f"{options.root}: the demo dataset is ready")
