"""Which files are predicted, and where results may go."""

import glob
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from segtrain.commands.predict.earlier import Earlier, Target
from segtrain.errors import DataError, name_some
from segtrain.files import is_glob
from segtrain.formats.sample import IMAGE_SUFFIXES, require_path

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})


def find_images(inputs: Sequence[str], *, output: Path) -> dict[Path, Path]:
    """Image or video file -> path below the output folder, without suffix, of what is written for it.

    A folder is searched through, and its subfolders come again in the output; what earlier predictions wrote to
    `output` is left out. Raises DataError for an input that gives no image, and for other images in `output`.
    """
    found: dict[Path, Path] = {}
    earlier, root = Earlier(output), os.path.realpath(output)
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    for item in inputs:
        if is_glob(item) and not Path(item).exists():
            files = {path: Path(path.name) for path in map(Path, sorted(glob.glob(item, recursive=True)))}
        elif Path(item).is_dir():
            files = {path: path.relative_to(item) for path in sorted(Path(item).rglob("*"))}
        else:
            files = {require_path(Path(item), "images"): Path(Path(item).name)}
        images = {
            path: name.with_suffix("")
            for path, name in files.items()
            if path.suffix.lower() in known
            and not path.name.startswith(".")
            and (path.is_file() or _leads_nowhere(path))
        }
        inside = {path: place for path in images if (place := _place_below(root, path))}
        taken = {path: name for path, name in images.items() if path not in inside}
        if images and not taken:
            raise DataError(f"{item}: its images lie in the output folder {output}; write -o another folder")
        if others := [str(path) for path, place in inside.items() if not earlier.wrote(place)]:
            lie = "lies" if len(others) == 1 else "lie"
            why = f"{lie} in the output folder {output}, and no prediction wrote that"
            raise DataError(f"{item}: {name_some(others)} {why}; write -o another folder")
        if not taken:
            raise DataError(f"{item}: no images there; known suffixes: {' '.join(sorted(known))}")
        found |= taken
    return found


def _leads_nowhere(path: Path) -> bool:
    """Whether a path is a link to nothing or to itself: an image that cannot be read."""
    return path.is_symlink() and not path.exists()


def _place_below(root: str, path: Path) -> str | None:
    """Where a file really lies below a real folder; None where it lies elsewhere."""
    there = Path(os.path.realpath(path))  # unlike resolve, not upset by links that lead to themselves
    return there.relative_to(root).as_posix() if there.is_relative_to(root) else None


def file_name_of(path: Path, name: Path) -> str:
    """What tables call an image: its path below the folder that was given, with its suffix."""
    return name.with_name(f"{name.name}{path.suffix}").as_posix()


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def require_output(folder: Path) -> None:
    """Raises DataError where a folder cannot be made or written to, without making it."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DataError(f"{folder}: cannot be the output folder, {there} is a file; write -o another folder")
    try:
        tempfile.TemporaryFile(dir=there).close()  # what os.access says is of no use to root and on network drives
    except OSError as error:
        reason = f"nothing can be written to {there} ({error.strerror})"
        raise DataError(f"{folder}: cannot be the output folder, {reason}; write -o another folder") from error


def refuse_clashes(targets: Iterable[Target], *, output: Path) -> None:
    """Raises DataError where two inputs would write one file."""
    owners: dict[str, Path] = {}
    for target in targets:
        for file in target.files:
            owner = owners.setdefault(file, target.path)
            if owner != target.path:
                clash = f"{owner} and {target.path} would both be written to {output / file}"
                raise DataError(f"{clash}; predict them apart")
