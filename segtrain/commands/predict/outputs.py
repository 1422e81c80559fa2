"""Outputs of a prediction: the words of --save, and which files may be written."""

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from segtrain.config.section import suggest
from segtrain.errors import DataError

KINDS = {
    "index": "NAME.png: class indices, 16 bits above 256 classes; classes that overlap: NAME_0_CLASS.png .., 0 and 255",
    "color": "NAME_color.png: the colours of the classes, as a palette",
    "overlay": "NAME_overlay.jpg: the colours over the image, for looking at",
    "npz": "NAME.npz: probabilities (classes, height, width) in float16, and names",
    "prob8": "NAME_prob_0_CLASS.png ..: probability of each class, 255 is 1",
    "prob16": "NAME_prob_0_CLASS.png ..: the same, 65535 is 1",
    "geojson": "NAME.geojson: outlines in pixels, (0, 0) the top left corner, y down",
    "coco": "coco.json: outlines of all images as polygons",
    "coco-rle": "coco_rle.json: masks of all images as compressed runs, one for each class",
    "rle": "rle.csv: masks of all images as 'start length' pairs, from 1, down the columns",
}
DEFAULT = ("index", "color", "overlay")
WITH_PROBABILITIES = frozenset({"npz", "prob8", "prob16"})


def parse_kinds(text: str) -> tuple[str, ...]:
    """The words of --save, each once. Raises ArgumentTypeError for an unknown one, and for both kinds of probability
    PNG, which would have one name."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"'{kind}' cannot be saved; {suggest(kind, KINDS)}")
    if {"prob8", "prob16"} <= set(kinds):
        raise argparse.ArgumentTypeError("prob8 and prob16 have the same file names; take one of them")
    return kinds


class Target(NamedTuple):
    """The files to be written for `path`: `name`, below the output folder, with each of `suffixes`."""

    path: Path
    name: Path
    suffixes: Sequence[str]

    @property
    def files(self) -> list[str]:
        """Names below the output folder."""
        return [f"{self.name.as_posix()}{suffix}" for suffix in self.suffixes]


def refuse_clashes(targets: Iterable[Target], *, output: Path) -> None:
    """Raises DataError where two inputs would write one file."""
    owners: dict[str, Path] = {}
    for target in targets:
        for file in target.files:
            owner = owners.setdefault(file, target.path)
            if owner != target.path:
                clash = f"{owner} and {target.path} would both be written to {output / file}"
                raise DataError(f"{clash}; predict them apart")


def require_writable(folder: Path) -> None:
    """Raises DataError where a folder cannot be made or written to, without making it."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DataError(f"{folder}: cannot be the output folder, {there} is a file; write -o another folder")
    try:
        tempfile.TemporaryFile(dir=there).close()  # os.access is wrong for root and on network drives
    except OSError as error:
        reason = f"nothing can be written to {there} ({error.strerror})"
        raise DataError(f"{folder}: cannot be the output folder, {reason}; write -o another folder") from error
