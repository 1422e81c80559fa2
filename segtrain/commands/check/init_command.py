"""Look at images and masks, or at an export of a labeling tool, and write the experiment that trains on them."""

import argparse
from pathlib import Path

from segtrain.command import parse_output
from segtrain.errors import ConfigError

ANNOTATIONS = (".xml", ".json")
TABLE = ".csv"  # of the images, beside the experiment, where some look alike


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "images", metavar="EXPORT | IMAGES", help="export of a labeling tool, or a folder or glob of images"
    )
    parser.add_argument(
        "masks",
        nargs="?",
        metavar="MASKS",
        help="folder or glob of masks with the same names, or an annotation file",
    )
    parser.add_argument(
        "-o", "--output", type=parse_output, default=Path("config.yml"), help="file to write (config.yml)"
    )


def main(options: argparse.Namespace) -> None:
    """Look at `options.images` and `options.masks`, or at the export `options.images` alone, and write
    `options.output`.

    Raises ConfigError where that exists, and DataError where the data do not give a training.
    """
    output: Path = options.output
    if output.suffix not in (".yml", ".yaml"):
        raise ConfigError(f"{output}: an experiment must be a YAML file; write -o {output.with_suffix('.yml')}")
    for file in (output, output.with_suffix(TABLE)):
        if file.exists():
            raise ConfigError(f"{file}: exists; choose another file, like -o experiments/mine.yml")
    from segtrain.commands.check.experiment import init_experiment
    from segtrain.commands.check.export_source import ExportSource, from_export
    from segtrain.commands.check.source import from_folders

    given = [options.images] if options.masks is None else [options.images, options.masks]
    annotations = [Path(path) for path in given if Path(path).suffix.lower() in ANNOTATIONS and Path(path).is_file()]
    if len(given) == 1:
        found = from_export(Path(options.images))
    elif len(annotations) == 1:  # in either order
        (folder,) = (Path(path) for path in given if Path(path) not in annotations)
        found = from_export(annotations[0], folder)
    else:
        found = ExportSource(from_folders(*given))
    init_experiment(found, given, output, table=output.with_suffix(TABLE))
