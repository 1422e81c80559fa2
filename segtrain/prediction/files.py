"""Which files are predicted, and where results may go."""

import glob
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from segtrain.data.sample import IMAGE_SUFFIXES, require_path
from segtrain.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})


def find_images(inputs: Sequence[str], *, output: Path) -> dict[Path, Path]:
    """Image or video file -> path below the output folder, without suffix, of what is written for it.

    A folder is searched through, and its subfolders come again in the output; `output` itself is left out. Raises
    DataError for an input that gives no image.
    """
    found: dict[Path, Path] = {}
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    for item in inputs:
        if any(sign in item for sign in "*?[") and not Path(item).exists():
            files = {path: Path(path.name) for path in map(Path, sorted(glob.glob(item, recursive=True)))}
        elif Path(item).is_dir():
            files = {path: path.relative_to(item) for path in sorted(Path(item).rglob("*"))}
        else:
            files = {require_path(Path(item), "images"): Path(Path(item).name)}
        images = {
            path: name.with_suffix("")
            for path, name in files.items()
            if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
        }
        taken = {path: name for path, name in images.items() if output.resolve() not in path.resolve().parents}
        if images and not taken:
            raise DataError(f"{item}: its images lie in the output folder {output}; write -o another folder")
        if not taken:
            raise DataError(f"{item}: no images there; known suffixes: {' '.join(sorted(known))}")
        found |= taken
    return found


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


def refuse_clashes(targets: Iterable[tuple[Path, Path, Sequence[str]]]) -> None:
    """Raises DataError where two of (input, its results without suffix, their suffixes) would write one file."""
    owners: dict[str, Path] = {}
    for path, name, suffixes in targets:
        for suffix in suffixes:
            owner = owners.setdefault(f"{name}{suffix}", path)
            if owner != path:
                raise DataError(f"{owner} and {path} would both be written to {name}{suffix}; predict them apart")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, making its folder. Raises DataError where that cannot be done."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> DataError:
    """One line for a full disk, a folder without permission and their like."""
    return DataError(f"{path}: cannot be written: {error.strerror or error}")
