"""Small text files that are there whole or not at all."""

import errno
import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from segtrain.errors import DataError


def replace_text(path: Path, text: str) -> None:
    """Write a small file beside the old one and rename it: a full disk must not cost the configuration of a run."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # of file names
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class TooLongName(DataError):
    """A name that the disk does not take, though it may take others."""


def temporary_name(path: Path) -> Path:
    """Beside a file, what it is called until it is whole: always the same, and short, as its own name may be as long as
    names can be."""
    return path.with_name(f".{blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}.part")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, making its folder. Raises DataError where that cannot be done."""
    temporary = temporary_name(path)
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
    kind = TooLongName if error.errno == errno.ENAMETOOLONG else DataError
    return kind(f"{path}: cannot be written: {error.strerror or error}")
