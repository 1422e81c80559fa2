"""Outputs of a prediction: the words of --save, and which files may be written."""

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from segtrain.command import require_libraries
from segtrain.config.section import suggest
from segtrain.errors import ConfigError, DataError, name_some

KINDS = {
    "index": "NAME.png: class indices, 16 bits above 256 classes; classes that overlap: NAME_0_CLASS.png .., 0 and "
    "255; georeferenced images: NAME.tif",
    "color": "NAME_color.png: the colours of the classes, as a palette",
    "overlay": "NAME_overlay.jpg: the colours over the image, for looking at",
    "npz": "NAME.npz: probabilities (classes, height, width) in float16, and names",
    "prob8": "NAME_prob_0_CLASS.png ..: probability of each class, 255 is 1",
    "prob16": "NAME_prob_0_CLASS.png ..: the same, 65535 is 1",
    "geojson": "NAME.geojson: outlines in pixels, (0, 0) the top left corner, y down, or in the image's coordinates",
    "geopackage": "NAME.gpkg: the same as a layer for QGIS and others, with the colours of the classes",
    "coco": "coco.json: outlines of all images as polygons",
    "coco-rle": "coco_rle.json: masks of all images as compressed runs, one for each class",
    "rle": "rle.csv: masks of all images as 'start length' pairs, from 1, down the columns",
}
DEFAULT = ("index", "color", "overlay")
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = ["image", "width", "height", "files", "error"]  # and a share for each class
OUTLINES = frozenset({"geojson", "geopackage", "coco"})  # what --simplify changes
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


def require_vectors(kinds: Sequence[str], simplify_px: float) -> None:
    """Raises ConfigError where outlines are to be simplified and none of the kinds has any, and where a library for
    them is not there."""
    if simplify_px and OUTLINES.isdisjoint(kinds):
        options = ", ".join(kind for kind in KINDS if kind in OUTLINES)
        raise ConfigError(f"--simplify changes outlines, and --save names none; write one of {options} there")
    if "geopackage" in kinds:
        require_libraries("--save geopackage", "geo", ["pyogrio", "rasterio", "shapely"])
    if simplify_px:
        require_libraries("--simplify", "geo", ["shapely"])


def list_targets(inputs: Iterable[tuple[Path, Path, Sequence[str]]], *, output: Path) -> list[str]:
    """The files that are to be written below `output`, for inputs with a name and the suffixes of their files. Raises
    DataError where two inputs would write one."""
    owners: dict[str, Path] = {}
    for path, name, suffixes in inputs:
        for file in (f"{name.as_posix()}{suffix}" for suffix in suffixes):
            if (owner := owners.setdefault(file, path)) != path:
                clash = f"{owner} and {path} would both be written to {output / file}"
                raise DataError(f"{clash}; predict them apart")
    return list(owners)


def require_output(folder: Path) -> None:
    """Raises DataError where a folder cannot be made or written to, without making it, and where it holds files, but
    not the manifest of a prediction: they are somebody else's."""
    if fault := _find_fault(folder):
        raise DataError(f"{folder}: cannot be the output folder, {fault}; write -o another folder")


def _find_fault(folder: Path) -> str | None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{there} is a file"
    try:
        tempfile.TemporaryFile(dir=there).close()  # os.access is wrong for root and on network drives
    except OSError as error:
        return f"nothing can be written to {there} ({error.strerror})"
    held = sorted(path.name for path in folder.glob("[!.]*"))
    header = b""
    with suppress(OSError), (folder / MANIFEST).open("rb") as file:
        header = file.read(100)
    is_ours = header.startswith(",".join(MANIFEST_COLUMNS).encode())
    return None if is_ours or not held else f"it holds {name_some(held)}, but no {MANIFEST} of an earlier prediction"
