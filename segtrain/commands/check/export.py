"""Export of a labeling tool: what was found, and how its folders are listed."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.config.data_schema import ClassConfig
from segtrain.formats.sample import IMAGE_SUFFIXES, SPLIT_NAMES, Splits

SPLIT_ORDER = ("train", "val", "test")
_LOOKED_INTO = 200  # files or folders in a folder that are looked at


class Export(NamedTuple):
    """What was found: the format for messages, the keys of `data` without classes, and notes about the export.

    `classes` are the classes of masks if the export names their values or colors; empty for annotations, whose labels
    are names. `splits` are the samples if no keys can describe them. `folders` are those of images and masks if nothing
    else is known. `has_val` is true if the export has its own validation split.
    """

    title: str
    data: dict[str, Any]
    notes: Sequence[str] = ()
    classes: Sequence[ClassConfig] = ()
    splits: Splits | None = None
    folders: tuple[str, str] | None = None
    has_val: bool = False


def listed(folder: Path) -> list[Path]:
    """The files and folders in a folder, sorted and without hidden ones; empty if it cannot be read."""
    try:
        return sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    except OSError:
        return []


def folders_in(folder: Path) -> list[Path]:
    """The first _LOOKED_INTO folders in a folder."""
    inside = (item for item in listed(folder) if item.is_dir() and not item.name.startswith("__"))
    return list(islice(inside, _LOOKED_INTO))


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """The first _LOOKED_INTO files in a folder with one of these suffixes."""
    inside = (item for item in listed(folder) if item.suffix.lower() in suffixes and item.is_file())
    return list(islice(inside, _LOOKED_INTO))


def walk_images(folder: Path) -> Iterator[Path]:
    """The image files below a folder."""
    return (path for path in folder.rglob("[!.]*") if path.suffix.lower() in IMAGE_SUFFIXES)


def has_images(folder: Path) -> bool:
    """Whether there is an image file in a folder, or in one of its folders."""
    for place in (folder, *(item for item in listed(folder) if item.is_dir())):
        if any(item.suffix.lower() in IMAGE_SUFFIXES for item in listed(place)):
            return True
    return False


def split_of(name: str) -> str:
    """The split in the name of a file or folder, like instances_train2017 or valid; empty if there is none."""
    words = re.findall("[a-z]+", name.casefold())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
