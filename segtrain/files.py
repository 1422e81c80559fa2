"""Files: written atomically; folders with the next number; globs told from paths; files inside of other files, windows.

A file inside of a tar archive is written `shard.tar!512+20480/a/0001.jpg`: the archive, where the content begins and
how long it is, in bytes, and its name. An image in a table of Arrow is `table.arrow!12/image`: the file, the row, the
column. A window of an image is written `ortho.tif#xywh=1024,0,1024,1024`: its first column and row, its width and its
height in pixels, counted from the upper left corner of the image as it is shown (W3C Media Fragments URI 1.0, 4.2.2).
"""

import errno
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.errors import DataError

_INSIDE = re.compile(r"(.+\.(?:tar|arrow))!(\d+)(?:\+(\d+))?/(.*)", re.DOTALL)
_WINDOW = re.compile(r"(.+)#xywh=(\d+),(\d+),(\d+),(\d+)", re.DOTALL)


class Window(NamedTuple):
    """A rectangle of an image, in pixels; `left` and `top` are counted from 0."""

    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Its rows in an array."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Its columns in an array."""
        return slice(self.left, self.left + self.width)


class TooLongName(DataError):
    """A name that is too long for the disk, though other names may not be."""


@contextmanager
def replacing(path: Path, *, sync: bool = False, shared: bool = False) -> Iterator[Path]:
    """Provide the path of a temporary file next to `path`, to be written in the block; rename it at the end of the
    block.

    An exception removes the temporary file and leaves `path` as it was. The temporary name is short, because `path` may
    be as long as names can be, and always the same, so that a killed process leaves at most one file.

    Args:
        path: the file to write; its folder is created.
        sync: survive a power failure: flush the file to disk before it is renamed, and then its folder.
        shared: other processes may write the same file at the same time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # of a file where a folder is needed
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error
    name = f"{_digest(path)}.part{path.suffix[:16]}"
    temporary = path.with_name(f".{name}")
    if shared:
        temporary = path.with_name(f".{_digest(path, platform.node())}-{os.getpid()}-{name}")
        _clear_left(path.parent, temporary.name)
    try:
        yield temporary
        if sync:
            _sync(temporary)
        temporary.replace(path)
        if sync and os.name == "posix":  # not every system can open a folder
            _sync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def workshop(path: Path, *, beside: Path) -> Iterator[Path]:
    """Make a folder in the folder `beside`, in which `path` is prepared, and delete it after the block.

    Folders for the same path that killed processes of this machine left behind are deleted first.
    """
    prefix = f".{_digest(path, platform.node())}-{os.getpid()}-"
    _clear_left(beside, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=beside) as folder:
        yield Path(folder)


def _digest(path: Path, *others: str) -> str:
    return blake2b(os.fsencode("/".join((*others, path.name))), digest_size=8).hexdigest()


def _clear_left(folder: Path, name: str) -> None:
    """Delete what processes that no longer exist left under names like this one, `.DIGEST-PROCESS-`."""
    for left in folder.glob(f"{name.split('-')[0]}-*"):
        if not _is_running(left.name.split("-")[1]):
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                left.unlink()


def _is_running(process: str) -> bool:
    """Whether a process exists; true if that is unknown."""
    if os.name != "posix" or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file atomically, text as UTF-8 that preserves the bytes of file names. Raises DataError if the disk
    refuses."""
    with explained_write(path), replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)


@contextmanager
def explained_write(path: Path) -> Iterator[None]:
    """Turn errors of writing `path` into DataError: disk full, no permission, name too long."""
    try:
        yield
    except OSError as error:
        kind = TooLongName if error.errno == errno.ENAMETOOLONG else DataError
        raise kind(f"{path}: cannot be written: {error.strerror or error}") from error


def make_numbered_folder(stem: Path) -> Path:
    """Make the next of the folders STEM-1, STEM-2, .. and return it: one more than the highest that exists, because
    numbers are not reused. Several processes may ask at once."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(rf"{re.escape(stem.name)}-(\d+)")
    taken = [int(match[1]) for path in stem.parent.iterdir() if (match := pattern.fullmatch(path.name))]
    number = max(taken, default=0)
    while True:
        number += 1
        folder = stem.with_name(f"{stem.name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts frame2 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def require_regular(path: Path | str) -> None:
    """Raises DataError for a pipe, a socket or a device, from which reading may never return. A missing file is left to
    the reader."""
    with suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{path}: is a pipe, a socket or a device, not a file")


def quoted(path: Path | str) -> str:
    """A path as shown in messages; a glob is quoted, so that it can be pasted into a shell or YAML."""
    return f"'{path}'" if is_glob(str(path)) else str(path)


def is_glob(text: str) -> bool:
    """Whether a path contains a wildcard: `*`, `?` or `[`."""
    return any(sign in text for sign in "*?[")


def split_window(path: str) -> tuple[str, Window | None]:
    """The path of the whole image and the window; None if the path is that of a whole image."""
    found = _WINDOW.fullmatch(path)
    return (found[1], Window(*map(int, found.groups()[1:]))) if found else (path, None)


def window_path(path: str, window: Window) -> str:
    """The path of a window of the image at a path."""
    return f"{path}#xywh={','.join(map(str, window))}"


def container_of(path: str) -> str:
    """The file on disk: the path itself, or the file that contains the file or window at the path."""
    path = split_window(path)[0]
    inside = _INSIDE.fullmatch(path)
    return inside[1] if inside else path


def readable(path: str) -> str | BytesIO:
    """What a library can open: the path itself, or the content of a file inside another. Raises OSError."""
    inside = _INSIDE.fullmatch(path)
    if inside is None:
        return path
    container, place, length, name = inside.groups()
    if length is None:
        return BytesIO(open_arrow(container)[name][int(place)].as_py()["bytes"])
    with open(container, "rb") as file:
        file.seek(int(place))
        return BytesIO(file.read(int(length)))


def read_content(path: str) -> bytes:
    """The bytes of a file, possibly inside another. Raises OSError."""
    source = readable(path)
    return Path(source).read_bytes() if isinstance(source, str) else source.getvalue()


@cache
def open_arrow(path: str) -> Any:
    """An Arrow table (pyarrow.Table) in the stream format, mapped into memory without reading it."""
    import pyarrow

    with pyarrow.memory_map(path) as source:
        return pyarrow.ipc.open_stream(source).read_all()
