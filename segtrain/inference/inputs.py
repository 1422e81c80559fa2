"""Inputs of a prediction: images and videos in folders, files and globs."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from segtrain.errors import DataError
from segtrain.files import is_glob
from segtrain.formats.sample import IMAGE_SUFFIXES, require_path

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})


def is_video(path: Path) -> bool:
    """True for a video, by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_images(inputs: Sequence[str], *, output: Path, left_out: Counter[str] | None = None) -> dict[Path, Path]:
    """Image or video file -> path below the output folder, without suffix, of what is written for it.

    Folders are searched through, also those that links lead to, and their subfolders come again in the output; files
    below `output` and what is hidden are left out. `left_out` counts the other files of folders by their suffixes.
    Raises DataError for an input that gives no image.
    """
    found: dict[Path, Path] = {}
    root, known = os.path.realpath(output), IMAGE_SUFFIXES | VIDEO_SUFFIXES
    for item in inputs:
        if is_glob(item) and not Path(item).exists():
            files = {path: Path(path.name) for path in map(Path, sorted(glob.glob(item, recursive=True)))}
        elif Path(item).is_dir():
            files = {path: path.relative_to(item) for path in sorted(_walk(item))}
            if left_out is not None:
                left_out.update(path.suffix.lower() for path in files if path.suffix.lower() not in known)
        else:
            files = {require_path(Path(item), "images"): Path(Path(item).name)}
        images = {
            path: name.with_suffix("")
            for path, name in files.items()
            if path.suffix.lower() in known
            and not path.name.startswith(".")
            and (path.is_file() or (path.is_symlink() and not path.exists()))  # a link to nothing is reported later
        }
        # realpath, unlike resolve, is not upset by links that lead to themselves.
        taken = {path: name for path, name in images.items() if not Path(os.path.realpath(path)).is_relative_to(root)}
        if images and not taken:
            raise DataError(f"{item}: its images are in the output folder {output}; choose another folder with -o")
        if not taken:
            raise DataError(f"{item}: contains no images; known suffixes: {' '.join(sorted(known))}")
        found |= taken
    return found


def _walk(folder: str) -> Iterator[Path]:
    """The files of a folder and its subfolders that are not hidden. No folder is entered a second time, so that links
    which lead back end."""
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in entered
        )
        yield from (Path(place, name) for name in names if not name.startswith("."))
