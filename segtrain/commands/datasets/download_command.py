"""Download a public dataset, as far as this is allowed, and unpack it.

Its archives are downloaded, checked, unpacked and recorded one after another. Records and unfinished downloads are in
the folder .download below the root. An archive is removed after it is unpacked; an archive that you put into the root,
or where it is to be unpacked, is used instead and kept.
"""

import argparse
import json
import shutil
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from segtrain.command import Stopped, parse_output
from segtrain.commands.datasets.command import show_archive, show_counts, show_size
from segtrain.commands.datasets.http import (
    PAUSES_S,
    check_sum,
    fetch_file,
    file_name,
    is_archive,
    require_space,
    show_decimal,
)
from segtrain.commands.datasets.unpack import DamagedError, unpack
from segtrain.config.section import suggest
from segtrain.errors import ConfigError, DataError
from segtrain.formats import read_dataset
from segtrain.formats.dataset_info import About, Archive, load_dataset, published

STORE = ".download"
RECORD = ".files.json"  # end of the name of a record: which files came out of an archive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("name", help="name, as listed by `datasets`")
    parser.add_argument("root", type=parse_output, help="folder to download it to, like data/voc")


def main(options: argparse.Namespace) -> None:
    """Fetch and unpack the dataset `options.name` below the folder `options.root`, and say what it is read as."""
    name, root = options.name, options.root
    if name not in published():
        raise ConfigError(f"download: no dataset '{name}'; {suggest(name, published())}")
    about = load_dataset(name).about
    unpacked_before = any((root / STORE).glob(f"*{RECORD}"))
    if not unpacked_before and about.images == count_images(name, root)[0] != {}:
        print(f"{root}: already contains all images of {name}; nothing to do")
        return
    try:
        fetch_dataset(name, about, root)
    except KeyboardInterrupt:
        kept = f"the part received so far is kept in {root / STORE}; the same command continues from there"
        raise Stopped(signal.SIGINT, f"stopped; {kept}") from None
    counts, mistake = count_images(name, root)
    print(f"note: {mistake}" if mistake else f"{root}: read as data.format: {name}, it has {show_counts(counts)}")


def count_images(name: str, root: Path) -> tuple[dict[str, int], str]:
    """The images that a format finds below a folder, by split, and why it finds none."""
    if load_dataset(name).labels() is None:
        return {}, f"list the classes that you want in data.classes; {name} finds them by name"
    try:
        return {split: len(samples) for split, samples in read_dataset(name, root, {}).items()}, ""
    except DataError as error:
        return {}, str(error)


def fetch_dataset(name: str, about: About, root: Path, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
    """Fetch what is missing of a dataset and unpack it below `root`; nothing that is there is replaced.

    A later call goes on where one was stopped, and does nothing where all is there. `pauses_s` are those between
    attempts. Raises DataError where that is not possible: one line that says what is there and what to do.
    """
    page = f"its page is {about.home}"
    if not about.archives:
        raise DataError(f"{name}: cannot be downloaded automatically; {about.by_hand}; {page}")
    try:
        (root / STORE).mkdir(parents=True, exist_ok=True)
        missing = [archive for archive in about.archives if not is_unpacked(archive, root)]
        announce(name, about, missing, root)
        if missing:
            require_space(root, estimate_disk_bytes(missing, root), f"to download and unpack {name} (estimated)")
        for archive in missing:
            bring(archive, root, hint=f"download it by hand to {root} and run this again; {page}", pauses_s=pauses_s)
    except OSError as error:
        raise DataError(f"{error.filename or root}: {error.strerror or error}") from error
    if missing and about.by_hand:
        print(f"then: {about.by_hand}")


def announce(name: str, about: About, missing: Sequence[Archive], root: Path) -> None:
    """Print what is going to be fetched, under which license, and whether it fits on the disk."""
    print(f"{name}: {about.title}\nlicense: {about.license}; see {about.home}")
    if not missing:
        print(
            f"{root}: all of its {len(about.archives)} file(s) have been downloaded and unpacked already; nothing to do"
        )
        return
    for archive in missing:
        print(f"  {show_archive(archive)}")
    free = show_decimal(shutil.disk_usage(root).free)
    print(f"to download: {show_size(missing)}; free on the disk of {root}: {free}", flush=True)


def estimate_disk_bytes(archives: Iterable[Archive], root: Path) -> int:
    """What the disk must have left to fetch and unpack archives one after the other, each removed when it is unpacked.

    Their sizes are known or 0; images hardly shrink when they are packed, so that what is unpacked is taken to be as
    large as its archive.
    """
    unpacked = most = 0
    for archive in archives:
        name = file_name(archive.url)
        paths = (root / name, root / archive.folder / name, root / STORE / name, root / STORE / f"{name}.part")
        there = max((path.stat().st_size for path in paths if path.is_file()), default=0)
        most = max(most, unpacked + max(archive.bytes - there, 0) + archive.bytes * is_archive(name))
        unpacked += archive.bytes
    return most


def bring(archive: Archive, root: Path, *, hint: str, pauses_s: Sequence[float]) -> None:
    """Fetch one file, unless the user has put it where it is looked for, and unpack it; print how it was checked."""
    name, folder = file_name(archive.url), root / archive.folder
    paths = (root / name, folder / name) if is_archive(name) else (folder / name,)
    path = next((path for path in paths if path.is_file()), None)
    if path:
        right = check_sum(path, archive.checksum, f"{path}: has", "remove it, and the same command downloads it")
        proof = f"{path} is used as it is; {right}" if right else f"{path} is used as it is; its checksum is unknown"
    else:
        path, proof = fetch_file(archive, root / STORE, hint=hint, pauses_s=pauses_s)
    own = path.parent != root / STORE
    try:
        files = unpack(path, folder)
    except DamagedError as error:
        if own:
            raise DataError(f"{error}; remove it, and the same command downloads it") from error
        path.unlink()
        raise DataError(f"{error}; it was removed; the same command downloads it again") from error
    if is_archive(name) and not archive.checksum:  # a tar alone has none inside, but a mark at its end
        proof += ", complete up to its end mark" if name.endswith(".tar") else ", the checksums inside are correct"
    written = {f"{archive.folder}/{file}".lstrip("/"): size for file, size in files.items()}
    note = {"archive": archive._replace(bytes=0), "files": written}
    record_path(archive, root).write_text(json.dumps(note), encoding="utf-8")
    if not own:
        path.unlink(missing_ok=True)
    print(f"{name}: {proof}; {len(files)} file(s) are in {folder}", flush=True)


def record_path(archive: Archive, root: Path) -> Path:
    """Where it is written which files came out of an archive."""
    return root / STORE / f"{file_name(archive.url)}{RECORD}"


def is_unpacked(archive: Archive, root: Path) -> bool:
    """Whether an earlier call has unpacked this archive, and every file of it is still there in its size."""
    try:
        note = json.loads(record_path(archive, root).read_text(encoding="utf-8"))
        if Archive(*note["archive"]) != archive._replace(bytes=0):
            return False
        return all((root / file).stat().st_size == size for file, size in note["files"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False
