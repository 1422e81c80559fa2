"""Unpacking an archive of a stranger: whole or not at all, into its folder and nowhere else.

Everything is written to a folder beside the target first, which checks the checksums inside (CRC of zip and gzip), and
is then renamed into place. Links become copies of the file they lead to, where that lies in the archive; a link to
anything else, a device, an absolute path and `..` are refused. So are more bytes than the disk has room for.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from filecmp import cmp
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Literal, NamedTuple

from tqdm import tqdm

from segtrain.commands.datasets.download import require_space
from segtrain.errors import DataError

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
OPENERS = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
NOTHING = "nothing of it was unpacked"


class DamagedError(DataError):
    """An archive is not whole, or its checksums are wrong."""


class Entry(NamedTuple):
    """One thing in an archive: a file with its `bytes`, a folder, or a link to `target`, a path in the archive."""

    name: str
    kind: Literal["file", "folder", "link"]
    bytes: int = 0
    open: Callable[[], BinaryIO] | None = None
    target: str = ""


def unpack(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack a zip or tar file into `folder`: path below it -> bytes, of every file in the archive.

    What lies there already stays: a file with the same bytes is left as it is, one with others is an error before
    anything is changed. Raises DataError for that, and for an archive that is damaged, cut off or malicious.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{archive.name}.unpacking"
    if beside.exists():
        shutil.rmtree(beside)  # of an earlier call that was killed
    beside.mkdir()
    try:
        with readable_errors(archive), ExitStack() as stack:
            total, entries = (open_zip if archive.suffix.lower() == ".zip" else open_tar)(archive, stack)
            files = extract(entries, beside, archive=archive, total=total)
        require_no_conflict(files, beside, folder, archive=archive)
        move(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return files


def extract(entries: Iterable[Entry], folder: Path, *, archive: Path, total: int) -> dict[str, int]:
    """Write every file of an archive below an empty folder; path -> bytes. `total` bytes are to come."""
    require_space(folder, total, f"to unpack {archive.name}")
    files: dict[str, int] = {}
    links: list[Entry] = []
    with tqdm(desc=f"unpacking {archive.name}", total=total, unit="B", unit_scale=True, disable=None) as bar:
        for entry in entries:
            name = safe_name(entry.name, archive)
            if entry.kind == "link":
                links.append(entry)
            elif entry.kind == "folder":
                (folder / name).mkdir(parents=True, exist_ok=True)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with entry.open() as source, (folder / name).open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                files[name] = entry.bytes
                bar.update(entry.bytes)
    for link in links:  # as copies: where no link is ever written, nothing can be written through one
        name, target = safe_name(link.name, archive), os.path.normpath(link.target)
        if target not in files:
            raise DataError(
                f"{archive}: holds {link.name!r}, a link to {target!r}, which is no file of the archive; {NOTHING}"
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / target, folder / name)
        files[name] = files[target]
    return files


def safe_name(name: str, archive: Path) -> str:
    """The path of an entry below the folder that it is unpacked into. Raises DataError for one that leads elsewhere."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        raise DataError(f"{archive}: holds {name!r}, a path outside of its folder; {NOTHING}")
    return "/".join(parts)


def open_zip(path: Path, stack: ExitStack) -> tuple[int, Iterator[Entry]]:
    """The bytes that a zip file says it unpacks to, and its entries."""
    archive = stack.enter_context(zipfile.ZipFile(path))

    def entry(info: zipfile.ZipInfo) -> Entry:
        mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was packed on a system without
        if info.is_dir():
            return Entry(info.filename, "folder")
        if mode == stat.S_IFLNK:
            target = PurePosixPath(info.filename).parent / archive.read(info).decode("utf-8", "replace")
            return Entry(info.filename, "link", target=str(target))
        if mode not in (0, stat.S_IFREG):
            raise DataError(f"{path}: holds {info.filename!r}, a device; {NOTHING}")
        return Entry(info.filename, "file", info.file_size, lambda: archive.open(info))

    return sum(info.file_size for info in archive.infolist()), map(entry, archive.infolist())


class LastRead:
    """A file that remembers what was read of it last."""

    def __init__(self, file: BinaryIO):
        self.seek, self.tell, self._file, self.last = file.seek, file.tell, file, b""

    def read(self, size: int = -1) -> bytes:
        """As the file's own read."""
        self.last = self._file.read(size)
        return self.last


def open_tar(path: Path, stack: ExitStack) -> tuple[int, Iterator[Entry]]:
    """The bytes that a tar file unpacks to, compressed or not, and its entries. It is read to its last byte for that:
    what has no end mark, or is compressed and has a wrong checksum at its end, is cut off or damaged."""
    opener, free = OPENERS.get(path.suffix.lower(), open), shutil.disk_usage(path.parent).free
    total = 0
    with opener(path, "rb") as raw:
        file = LastRead(raw)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                total += member.size
                if total > free:  # a small file can unpack to more than is worth being counted
                    require_space(path.parent, total, f"or more to unpack {path.name}")
        if file.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes any header that it cannot read for the end
            raise tarfile.ReadError("it has no end mark")
        while raw.read(1 << 20):
            pass
    return total, tar_entries(stack.enter_context(tarfile.open(path)), path)


def tar_entries(archive: tarfile.TarFile, path: Path) -> Iterator[Entry]:
    """The entries of an open tar file, in one pass."""
    for member in archive:
        if member.isdir():
            yield Entry(member.name, "folder")
        elif member.issym():
            yield Entry(member.name, "link", target=str(PurePosixPath(member.name).parent / member.linkname))
        elif member.islnk():
            yield Entry(member.name, "link", target=member.linkname)
        elif member.isreg():
            yield Entry(member.name, "file", member.size, partial(archive.extractfile, member))
        else:
            raise DataError(f"{path}: holds {member.name!r}, a device; {NOTHING}")


@contextmanager
def readable_errors(archive: Path) -> Iterator[None]:
    """What zipfile and tarfile raise for a damaged file, as DataError."""
    try:
        yield
    except BROKEN as error:
        raise DamagedError(f"{archive}: is damaged or cut off: {error}") from error
    except RuntimeError as error:  # of a password, or of a compression that zipfile does not know
        raise DataError(f"{archive}: cannot be unpacked here: {error}; unpack it by hand") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"{archive}: holds a file and a folder of one name, {Path(error.filename).name}") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 mean by it that the data are broken
            raise DamagedError(f"{archive}: is damaged or cut off: {error}") from error
        raise


def require_no_conflict(files: dict[str, int], beside: Path, folder: Path, *, archive: Path) -> None:
    """Raises DataError where a file would be placed on another one, or a folder on a file or a file on a folder."""
    checked: set[Path] = set()
    for name, size in files.items():
        for parent in list(Path(name).parents)[:-1]:
            above = folder / parent
            if above not in checked and os.path.lexists(above) and not above.is_dir():
                raise DataError(
                    f"{above}: is a file, but a folder in {archive.name}; move it away. Nothing was changed"
                )
            checked.add(above)
        place = folder / name
        if not os.path.lexists(place):
            continue
        if not (place.is_file() and place.stat().st_size == size and cmp(beside / name, place, shallow=False)):
            raise DataError(
                f"{place}: is there already, and {archive.name} holds another one; move it away, or choose another "
                "folder. Nothing was changed"
            )


def move(source: Path, folder: Path) -> None:
    """Rename what lies in a folder into another: a folder that is not there yet in one step, others file by file."""
    for item in sorted(source.iterdir()):
        place = folder / item.name
        if not os.path.lexists(place):
            os.replace(item, place)
        elif item.is_dir():
            move(item, place)
