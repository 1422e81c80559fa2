"""Outputs of a prediction: the words of --save, and which files may be written."""

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from segtrain.command import require_libraries
from segtrain.config.section import suggest
from segtrain.errors import ConfigError, DataError, name_some

KINDS = {
    "index": "NAME.png: class indices, 16 bits above 256 classes; classes that overlap: NAME_0_CLASS.png .., 0 and "
    "255; georeferenced images: NAME.tif",
    "values": "NAME.png: as the masks of the data set are: the values or colours of data.classes",
    "color": "NAME_color.png: the colours of the classes, as a palette",
    "overlay": "NAME_overlay.jpg: the colours over the image, for looking at",
    "npz": "NAME.npz: probabilities (classes, height, width) in float16, and names",
    "prob8": "NAME_prob_0_CLASS.png ..: probability of each class, 255 is 1",
    "prob16": "NAME_prob_0_CLASS.png ..: the same, 65535 is 1",
    "geojson": "NAME.geojson: outlines in pixels, (0, 0) the top left corner, y down, or in the image's coordinates",
    "geopackage": "NAME.gpkg: the same as a layer for QGIS and others, with the colours of the classes",
    "coco": "coco.json: outlines of all images as polygons",
    "coco-rle": "coco_rle.json: masks of all images as compressed runs, one for each class",
    "cvat": "annotations.xml: masks of all images for CVAT, and cvat_labels.json, its labels",
    "labelstudio": "labelstudio.json: masks of all images for Label Studio, and labelstudio.xml, its interface",
    "labelme": "NAME.json: outlines for labelme",
    "rle": "rle.csv: masks of all images as 'start length' pairs, from 1, down the columns",
}
DEFAULT = ("index", "color", "overlay")
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = ["image", "width", "height", "files", "error"]  # and a share for each class; entropy, margin
OUTLINES = frozenset({"geojson", "geopackage", "coco", "labelme"})  # what --simplify changes
WITH_PROBABILITIES = frozenset({"npz", "prob8", "prob16"})
OF_FILES = ("cvat", "labelstudio", "labelme")  # tools open the image itself, and a frame of a video has no file
ONE_NAME = (("prob8", "prob16"), ("index", "values"))


@dataclass(frozen=True)
class Wanted:
    """What a prediction is to write.

    Args:
        kinds: of KINDS; None is DEFAULT for images and nothing for frames of videos.
        sample: a sample submission; rle.csv is written as it asks for.
        fps: frames in a second of the videos that folders become; None takes images one by one.
        ranked: measure the uncertainty of each image, and write rank.csv and rank.jpg.
        model: what Label Studio calls the version of the predictions; for `image_url` see labelstudio.address_of.
        min_area_px: regions of fewer pixels become part of their surroundings, see sieve_labels.
        simplify_px: how far outlines may move, see simplify_rings; 0 is exact.
    """

    kinds: Sequence[str] | None = None
    sample: Path | None = None
    fps: float | None = None
    ranked: bool = False
    model: str = ""
    image_url: str | None = None
    min_area_px: int = 0
    simplify_px: float = 0.0


DEFAULTS = Wanted()


def parse_kinds(text: str) -> tuple[str, ...]:
    """The words of --save, each once. Raises ArgumentTypeError for an unknown one, and for two kinds whose files would
    have one name."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"'{kind}' cannot be saved; {suggest(kind, KINDS)}")
    for first, second in ONE_NAME:
        if first in kinds and second in kinds:
            raise argparse.ArgumentTypeError(f"{first} and {second} have the same file names; take one of them")
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


def list_targets(
    inputs: Iterable[tuple[Path, Path, Sequence[str]]], *, output: Path, tables: Iterable[str] = ()
) -> list[str]:
    """The files that are to be written below `output`, for inputs with a name and the suffixes of their files. Raises
    DataError where two inputs would write one, or an input that of a table of all images."""
    owners: dict[str, Path | str] = dict.fromkeys(tables, "the table of all images")
    for path, name, suffixes in inputs:
        for file in (f"{name.as_posix()}{suffix}" for suffix in suffixes):
            if isinstance(owner := owners.setdefault(file, path), str):
                raise DataError(f"{path}: its {file} would have the name of {owner}; rename the image")
            if owner != path:
                clash = f"{owner} and {path} would both be written to {output / file}"
                raise DataError(f"{clash}; predict them apart")
    return [file for file, owner in owners.items() if isinstance(owner, Path)]


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
