"""Generate a demo dataset: street scenes or orthophotos of towns."""

import argparse

from segtrain.command import parse_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("root", type=parse_output, help="folder to write it to, like data/street")
    parser.add_argument(
        "--scene",
        choices=["street", "town"],
        default="street",
        help="street: seven classes seen from a car; town: buildings seen from above, as GeoTIFFs (default: street)",
    )


def main(options: argparse.Namespace) -> None:
    """Draw the dataset where it is missing."""
    from segtrain.commands.demo.demo import draw_demo, draw_town_set

    {"street": draw_demo, "town": draw_town_set}[options.scene](options.root)
    print(f"{options.root}: the demo dataset is ready")
