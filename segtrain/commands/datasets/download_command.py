"""Download a public data set, as far as it may be downloaded, and unpack it."""

import argparse
import signal
from pathlib import Path
from types import ModuleType

from segtrain.command import Stopped, parse_output
from segtrain.commands.datasets.command import published, show_counts
from segtrain.commands.datasets.fetch import STORE, download, has_records
from segtrain.config.section import suggest
from segtrain.errors import ConfigError, DataError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("name", help="as `datasets` lists it")
    parser.add_argument("root", type=parse_output, help="folder to put it in, like data/voc")


def main(options: argparse.Namespace) -> None:
    """Fetch and unpack the data set `options.name` below the folder `options.root`, and say what it is read as."""
    modules, name, root = published(), options.name, options.root
    if name not in modules:
        raise ConfigError(f"download: no data set '{name}'; {suggest(name, modules)}")
    about = modules[name].ABOUT
    if not has_records(root) and about.images == count_images(modules[name], root)[0] != {}:
        print(f"{root}: all images of {name} are there; nothing to do")
        return
    try:
        download(name, about, root)
    except KeyboardInterrupt:
        kept = f"what has arrived is kept in {root / STORE}; the same command goes on from there"
        raise Stopped(signal.SIGINT, f"stopped; {kept}") from None
    counts, mistake = count_images(modules[name], root)
    print(f"note: {mistake}" if mistake else f"{root}: read as data.format: {name}, it has {show_counts(counts)}")


def count_images(module: ModuleType, root: Path) -> tuple[dict[str, int], str]:
    """The images that a format finds below a folder, by split, and why it finds none."""
    try:
        return {split: len(samples) for split, samples in module.read(root).items()}, ""
    except DataError as error:
        return {}, str(error)
