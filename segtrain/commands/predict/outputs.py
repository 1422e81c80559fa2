"""Outputs of a prediction: the values of --save, and which files may be written."""

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
    "index": "NAME.png: class indices, in 16 bits for more than 256 classes; for overlapping classes "
    "NAME_0_CLASS.png .., 0 and 255; for georeferenced images NAME.tif",
    "values": "NAME.png: masks like those of the dataset, with the values or colors of data.classes",
    "color": "NAME_color.png: the class colors, as a palette image",
    "overlay": "NAME_overlay.jpg: the class colors over the image",
    "npz": "NAME.npz: probabilities (classes, height, width) in float16, and names",
    "prob8": "NAME_prob_0_CLASS.png ..: the probability of each class, where 255 is 1",
    "prob16": "NAME_prob_0_CLASS.png ..: the same, where 65535 is 1",
    "geojson": "NAME.geojson: outlines, in the image's coordinates or in pixels (from the top left corner, y down)",
    "geopackage": "NAME.gpkg: the same as a layer with class colors, for QGIS and other GIS software",
    "coco": "coco.json: all images, as polygons",
    "coco-rle": "coco_rle.json: all images, as compressed run lengths, one mask per class",
    "cvat": "annotations.xml: all images, as masks for CVAT; cvat_labels.json: its labels",
    "labelstudio": "labelstudio.json: all images, as masks for Label Studio; labelstudio.xml: its labeling interface",
    "labelme": "NAME.json: polygons for labelme",
    "rle": "rle.csv: all images, as 'start length' pairs that count from 1, down the columns",
}
DEFAULT = ("index", "color", "overlay")
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = [
    "image",
    "width",
    "height",
    "files",
    "error",
]  # then a share for each class, and with --rank entropy and margin
OUTLINES = frozenset({"geojson", "geopackage", "coco", "labelme"})  # what --simplify changes
WITH_PROBABILITIES = frozenset({"npz", "prob8", "prob16"})
OF_FILES = ("cvat", "labelstudio", "labelme")  # these tools open the image file, which a video frame does not have
ONE_NAME = (("prob8", "prob16"), ("index", "values"))


@dataclass(frozen=True)
class Wanted:
    """What a prediction writes.

    Args:
        kinds: keys of KINDS; None means DEFAULT for images, and nothing for video frames.
        sample: a sample submission, whose rows rle.csv gets.
        fps: frames per second of the videos made from folders of images; None treats images one by one.
        ranked: measure the uncertainty of each image, and write rank.csv and rank.jpg.
        model: the version of the predictions in Label Studio.
        image_url: see labelstudio.address_of.
        min_area_px: regions of fewer pixels are merged into their surroundings, see sieve_labels.
        simplify_px: how far outlines may move, see simplify_rings; with 0 they are exact.
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
    """The values of --save, each once. Raises ArgumentTypeError for an unknown one, and for two kinds whose files would
    have the same name."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"'{kind}' is not a kind of output; {suggest(kind, KINDS)}")
    for first, second in ONE_NAME:
        if first in kinds and second in kinds:
            raise argparse.ArgumentTypeError(f"{first} and {second} have the same file names; write one of them")
    return kinds


def require_vectors(kinds: Sequence[str], simplify_px: float) -> None:
    """Raises ConfigError if outlines are to be simplified but none of the kinds has outlines, and if a library that the
    kinds need is not installed."""
    if simplify_px and OUTLINES.isdisjoint(kinds):
        options = ", ".join(kind for kind in KINDS if kind in OUTLINES)
        raise ConfigError(
            f"--simplify changes outlines, but --save lists no output that has them; add one of {options} to --save"
        )
    if "geopackage" in kinds:
        require_libraries("--save geopackage", "geo", ["pyogrio", "rasterio", "shapely"])
    if simplify_px:
        require_libraries("--simplify", "geo", ["shapely"])


def list_targets(
    inputs: Iterable[tuple[Path, Path, Sequence[str]]], *, output: Path, tables: Iterable[str] = ()
) -> list[str]:
    """The files to write below `output`, for inputs with a name and the suffixes of their files. Raises DataError if
    two inputs would write the same file, or an input the file of a table of all images."""
    owners: dict[str, Path | str] = dict.fromkeys(tables, "the table of all images")
    for path, name, suffixes in inputs:
        for file in (f"{name.as_posix()}{suffix}" for suffix in suffixes):
            if isinstance(owner := owners.setdefault(file, path), str):
                raise DataError(f"{path}: its output {file} would have the same name as {owner}; rename the image")
            if owner != path:
                clash = f"{owner} and {path} would both be written to {output / file}"
                raise DataError(f"{clash}; use a separate -o for each")
    return [file for file, owner in owners.items() if isinstance(owner, Path)]


def require_output(folder: Path) -> None:
    """Raises DataError if a folder cannot be created or written to, and if it has files but no manifest of a
    prediction: then they are not ours. Does not create the folder."""
    if fault := _find_fault(folder):
        raise DataError(f"{folder}: cannot be the output folder: {fault}; write another folder after -o")


def _find_fault(folder: Path) -> str | None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{there} is a file"
    try:
        tempfile.TemporaryFile(dir=there).close()  # os.access is wrong for root and on network drives
    except OSError as error:
        return f"{there} is not writable ({error.strerror})"
    held = sorted(path.name for path in folder.glob("[!.]*"))
    header = b""
    with suppress(OSError), (folder / MANIFEST).open("rb") as file:
        header = file.read(100)
    is_ours = header.startswith(",".join(MANIFEST_COLUMNS).encode())
    return None if is_ours or not held else f"it contains {name_some(held)}, but no {MANIFEST} of an earlier prediction"
