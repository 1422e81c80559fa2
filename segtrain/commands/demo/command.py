"""Draw the demo data set: street scenes that are drawn, not downloaded."""

import argparse

from segtrain.command import parse_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("root", type=parse_output, help="folder to draw it into, like data/street")


def main(options: argparse.Namespace) -> None:
    """Draw the data set where it is missing."""
    from segtrain.commands.demo.demo import draw_demo

    draw_demo(options.root)
    print(f"{options.root}: the demo data set is there")
