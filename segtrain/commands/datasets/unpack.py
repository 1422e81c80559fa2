"""Archives from strangers: unpacked as a whole into their folder, or not at all, and nowhere else.

Everything is written to a folder beside the destination first, by the standard library's own filters, which checks the
checksums inside (CRC of zip and gzip), and is then renamed into place. Links, devices, absolute paths and `..` are
refused, and so are more bytes than the disk has room for.
"""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from tqdm import tqdm

from segtrain.commands.datasets.http import is_archive, require_space
from segtrain.errors import DataError

MODES = {".gz": "r:gz", ".tgz": "r:gz", ".bz2": "r:bz2", ".xz": "r:xz"}  # of tarfile; it would guess in vain
NOTHING = "nothing was unpacked"


class DamagedError(DataError):
    """An archive is not whole, or its checksums are wrong."""


def unpack(archive: Path, folder: Path) -> dict[str, int]:
    """Unpack a zip or tar file into `folder`: path below it -> bytes, of every file in the archive. A file that is
    no archive is moved there.

    What lies there already stays: a file with the same bytes is left as it is, one with others is an error before
    anything is changed. Raises DataError for that, and for an archive that is damaged, cut off or malicious.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not is_archive(archive.name):
        files = {archive.name: archive.stat().st_size}
        _refuse_conflicts(files, archive.parent, folder, archive=archive)
        os.replace(archive, folder / archive.name)
        return files
    beside = folder / f".{archive.name}.unpacking"
    if beside.exists():
        shutil.rmtree(beside)  # of an earlier call that was killed
    beside.mkdir()
    try:
        bar = {"desc": f"unpacking {archive.name}", "total": archive.stat().st_size, "disable": None}
        with _readable_errors(archive), archive.open("rb") as raw, tqdm.wrapattr(raw, "read", **bar) as file:
            files = (_unpack_zip if archive.suffix.lower() == ".zip" else _unpack_tar)(file, archive, beside)
        _refuse_conflicts(files, beside, folder, archive=archive)
        _move(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return files


def _unpack_zip(file: BinaryIO, path: Path, folder: Path) -> dict[str, int]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            mode = stat.S_IFMT(entry.external_attr >> 16)  # 0 where it was packed on a system without
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse(path, entry.filename, "a link" if mode == stat.S_IFLNK else "a device")
            entry.filename = _safe_name(entry.filename, path) + "/" * entry.is_dir()
        require_space(folder, sum(entry.file_size for entry in entries), f"to unpack {path.name}")
        archive.extractall(folder, entries)
    return {entry.filename: entry.file_size for entry in entries if not entry.is_dir()}


class _Member(tarfile.TarInfo):
    """A header of a tar file. tarfile takes any that it cannot read for the end, but only the end mark is."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it has no end mark ({error})") from error


def _unpack_tar(file: BinaryIO, path: Path, folder: Path) -> dict[str, int]:
    files = {}

    def accept(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
        if not member.isreg() and not member.isdir():
            _refuse(path, member.name, "a link" if member.issym() or member.islnk() else "a device")
        name = _safe_name(member.name, path)
        if member.isreg():
            files[name] = member.size
            require_space(folder, member.size, f"for {name} of {path.name}")
        return tarfile.data_filter(member.replace(name=name or ".", deep=False), destination)

    require_space(folder, path.stat().st_size, f"or more to unpack {path.name}")
    with tarfile.open(fileobj=file, mode=MODES.get(path.suffix.lower(), "r:"), tarinfo=_Member) as archive:
        archive.extractall(folder, filter=accept)
        while archive.fileobj.read(1 << 20):  # the checksum is at the end of what is compressed
            pass
    return files


def _safe_name(name: str, archive: Path) -> str:
    """The path of an entry below the folder that it is unpacked into. Raises DataError for one that leads elsewhere:
    the filters of the standard library would write an absolute path below the folder."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in parts:
        _refuse(archive, name, "a path outside its folder")
    return "/".join(parts)


def _refuse(archive: Path, name: str, what: str) -> None:
    raise DataError(f"{archive}: contains {name!r}, {what}; {NOTHING}")


@contextmanager
def _readable_errors(archive: Path) -> Iterator[None]:
    """What zipfile and tarfile raise for a damaged file, as DataError."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DamagedError(f"{archive}: is damaged or truncated: {error}") from error
    except RuntimeError as error:  # of a password, or of a compression that zipfile does not know
        raise DataError(f"{archive}: cannot be unpacked here: {error}; unpack it by hand") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        name = str(error.filename).partition(".unpacking/")[2]
        raise DataError(f"{archive}: contains a file in the place of a folder, or the reverse: {name}") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 mean by it that the data are broken
            raise DamagedError(f"{archive}: is damaged or truncated: {error}") from error
        raise


def _refuse_conflicts(files: dict[str, int], beside: Path, folder: Path, *, archive: Path) -> None:
    """Raises DataError where a file would be placed on another one, or a folder on a file or a file on a folder."""
    for above in {parent for name in files for parent in list(Path(name).parents)[:-1]}:
        if os.path.lexists(folder / above) and not (folder / above).is_dir():
            raise DataError(
                f"{folder / above}: is a file, but a folder in {archive.name}; move it elsewhere. Nothing was changed"
            )
    for name in files:
        target = folder / name
        if os.path.lexists(target) and not (target.is_file() and cmp(beside / name, target, shallow=False)):
            raise DataError(
                f"{target}: exists, and {archive.name} contains a different one; move it elsewhere or choose another "
                f"folder. Nothing was changed"
            )


def _move(source: Path, folder: Path) -> None:
    """Rename what lies in a folder into another: a folder that is not there yet in one step, others file by file."""
    for item in sorted(source.iterdir()):
        target = folder / item.name
        if not os.path.lexists(target):
            os.replace(item, target)
        elif item.is_dir():
            _move(item, target)
