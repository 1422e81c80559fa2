"""Export of a labelling tool: what was found, and how its folders are listed."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.config.data_schema import ClassConfig
from segtrain.formats.sample import IMAGE_SUFFIXES, SPLIT_NAMES, Splits

SPLIT_ORDER = ("train", "val", "test")
_LOOKED_INTO = 200  # files of one kind in a folder; the folders in a folder


class Export(NamedTuple):
    """What was found: the tool's format for messages, the keys of `data` without classes, and what to say of it.

    `classes` are those of masks whose values or colours the export names; empty for annotations, whose labels are
    names, and where nothing names the values. `splits` are the samples where no keys can say which they are. `folders`
    are those of images and masks where there is nothing but these. `has_val` says that the export has a split for
    validation of its own.
    """

    title: str
    data: dict[str, Any]
    notes: Sequence[str] = ()
    classes: Sequence[ClassConfig] = ()
    splits: Splits | None = None
    folders: tuple[str, str] | None = None
    has_val: bool = False


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, by name and without hidden files; nothing where it cannot be read."""
    try:
        return sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    except OSError:
        return []


def folders_in(folder: Path) -> list[Path]:
    """The first folders in a folder."""
    inside = (item for item in listed(folder) if item.is_dir() and not item.name.startswith("__"))
    return list(islice(inside, _LOOKED_INTO))


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """The first files in a folder that have one of these suffixes."""
    inside = (item for item in listed(folder) if item.suffix.lower() in suffixes and item.is_file())
    return list(islice(inside, _LOOKED_INTO))


def walk_images(folder: Path) -> Iterator[Path]:
    """The image files below a folder."""
    return (path for path in folder.rglob("[!.]*") if path.suffix.lower() in IMAGE_SUFFIXES)


def has_images(folder: Path) -> bool:
    """Whether an image file lies in a folder, or in a folder in it."""
    for place in (folder, *(item for item in listed(folder) if item.is_dir())):
        if any(item.suffix.lower() in IMAGE_SUFFIXES for item in listed(place)):
            return True
    return False


def split_of(name: str) -> str:
    """The split that a name of a file or folder says: instances_train2017, valid; else empty."""
    words = re.findall("[a-z]+", name.casefold())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
