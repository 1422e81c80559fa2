"""WebDataset's shards: tar archives in which the files of a sample have one name, and extensions of their own.

https://github.com/webdataset/webdataset. The archives are read where they are, in any order: the index of where each
file begins is made from their headers.
"""

import os
import re
import struct
from collections.abc import Iterator
from glob import glob
from itertools import chain
from pathlib import Path

from segtrain.errors import DataError, name_some
from segtrain.formats.sample import (
    IMAGE_SUFFIXES,
    SPLIT_NAMES,
    PathsBySplit,
    Sample,
    SampleTable,
    Splits,
    hold_out,
    require_path,
)

BLOCK = 512
LONGEST_NAMES = 1 << 20  # bytes of an extended header
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
# The header of POSIX.1-1988 (ustar): name, size, checksum, kind, magic, prefix of the name.
_HEADER = struct.Struct("100s 24x 12s 12x 8s c 100x 6s 82x 155s 12x")
_FILE, _LONG_NAME, _PAX, _LINK = (b"0", b"\0", b"7"), b"L", b"x", (b"1", b"2")
_MASK_WORDS = re.compile(r"mask|seg|label|annot|target|gt", re.IGNORECASE)

Found = dict[str, tuple[int, int]]  # extension -> where the file begins, and how long it is


def read(
    root: Path,
    *,
    shards: PathsBySplit | None = None,
    image_ext: str | None = None,
    mask_ext: str | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> Splits:
    """Read uncompressed tar archives, in which 0001.jpg and 0001.png, or 0001.image.png and 0001.mask.png, are one
    sample: the name ends at the first dot, and the rest is its extension.

    `shards` are archives below `root`, for each split or for the entire dataset: names, globs or lists of them, in
    which `{000..012}` stands for the numbers from 000 to 012. By default they are those whose name starts with the
    split (train-0.tar, val-0.tar) or that are in a folder of that name; if there are none, all archives. `image_ext`
    and `mask_ext` are the extensions of image and mask; by default those of the first sample, if it has two images and
    one is a PNG next to a JPEG or is called mask, seg or label. `val_fraction` of the entire dataset (0.2 by default),
    or of train if there is no val, is held out for validation. Raises DataError for an archive that is damaged or
    compressed, and for an image without a mask.
    """
    require_path(root, "data.root")
    splits: Splits = {}
    for split, paths in _find_shards(root, shards).items():
        groups = chain.from_iterable(_samples_in(path) for path in paths)
        splits[split] = SampleTable(_pairs(root, groups, image_ext, mask_ext))
        if not len(splits[split]):
            raise DataError(f"{paths[0]}: contains no images")
    return hold_out(splits, val_fraction, seed)


def _find_shards(root: Path, shards: PathsBySplit | None) -> dict[str, list[str]]:
    """The archives of each split; the split is "" where they are not divided."""
    if shards is None:
        found: dict[str, list[str]] = {}
        everything = sorted(glob("**/*.tar", root_dir=root, recursive=True))
        for path in everything:
            word = re.match(r"[a-z]+", path.casefold())
            split = SPLIT_NAMES.get(word[0] if word else "")
            if split is not None:
                found.setdefault(split, []).append(f"{root}/{path}")
        if "train" not in found:
            found = {"": [f"{root}/{path}" for path in everything]}
        if not everything:
            raise DataError(f"data.root: {root} contains no .tar files; write data.shards, like {{train: train-*.tar}}")
        return found
    by_split = shards if isinstance(shards, dict) else {"": shards}
    return {split: _expand(root, patterns, split) for split, patterns in by_split.items()}


def _expand(root: Path, patterns: str | list[str], split: str) -> list[str]:
    paths = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for name in _expand_numbers(pattern):
            there = sorted(glob(name, root_dir=root, recursive=True))
            if not there:
                key = f"data.shards.{split}" if split else "data.shards"
                raise DataError(f"{key}: {root / name} does not exist")
            paths += [f"{root}/{path}" for path in there]
    return paths


def _expand_numbers(pattern: str) -> list[str]:
    """train-{00..02}.tar as three names."""
    span = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if span is None:
        return [pattern]
    head, tail = pattern[: span.start()], pattern[span.end() :]
    numbers = range(int(span[1]), int(span[2]) + 1)
    return [name for number in numbers for name in _expand_numbers(f"{head}{number:0{len(span[1])}}{tail}")]


def _pairs(
    root: Path, groups: Iterator[tuple[str, str, Found]], image_ext: str | None, mask_ext: str | None
) -> Iterator[Sample]:
    """Samples of (archive, name, files). Raises DataError where an image or its mask is missing."""
    for shard, name, found in groups:
        if image_ext is None or mask_ext is None:
            chosen = _choose_extensions(shard, name, found)
            image_ext, mask_ext = image_ext or chosen[0], mask_ext or chosen[1]
        for what, extension in (("image", image_ext), ("mask", mask_ext)):
            if extension not in found:
                there = name_some([f".{other}" for other in found])
                raise DataError(
                    f"{shard}: {name} has no {what} .{extension}, only {there}; write its extension in data.{what}_ext"
                )
        image, mask = (
            f"{shard}!{found[extension][0]}+{found[extension][1]}/{name}.{extension}"
            for extension in (image_ext, mask_ext)
        )
        yield Sample(f"{shard.removeprefix(f'{root}/').removesuffix('.tar')}/{name}", image, mask)


def _choose_extensions(shard: str, name: str, found: Found) -> tuple[str, str]:
    """Those of the image and of its mask, in the first sample."""
    pictures = [extension for extension in found if f".{extension.rpartition('.')[2]}".lower() in IMAGE_SUFFIXES]
    masks = [extension for extension in pictures if _MASK_WORDS.search(extension)]
    if not masks:
        masks = [extension for extension in pictures if extension.lower() == "png"]
    images = [extension for extension in pictures if extension not in masks]
    if len(images) != 1 or len(masks) != 1:
        there = name_some([f".{extension}" for extension in found])
        raise DataError(
            f"{shard}: {name} has {there}; write which are the image and the mask, like data.image_ext: jpg and "
            f"data.mask_ext: png"
        )
    return images[0], masks[0]


def _samples_in(shard: str) -> Iterator[tuple[str, str, Found]]:
    """(archive, name, files by extension) of the samples in an archive, whose files need not follow one another."""
    samples: dict[str, Found] = {}
    for name, start, length in _files_in(shard):
        folder, slash, last = name.rpartition("/")
        stem, _, extension = last.partition(".")
        if not stem:
            continue  # hidden: ._0001.jpg of macOS
        found = samples.setdefault(f"{folder}{slash}{stem}", {})
        if extension in found:
            raise DataError(f"{shard}: contains {name} twice")
        found[extension] = (start, length)
    return ((shard, name, found) for name, found in samples.items())


def _files_in(shard: str) -> Iterator[tuple[str, int, int]]:
    """(name, first byte, length) of the files in an archive. tarfile would take a minute for a million of them."""
    try:
        with open(shard, "rb", buffering=0) as file:
            yield from _read_headers(shard, file.fileno(), os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise DataError(f"{shard}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a number that is none
        raise DataError(f"{shard}: is not a readable tar archive: {error}") from error


def _read_headers(shard: str, file: int, size: int) -> Iterator[tuple[str, int, int]]:
    position, long_name, long_size = 0, "", None
    while len(header := os.pread(file, BLOCK, position)) == BLOCK:
        raw_name, raw_length, checksum, kind, magic, prefix = _HEADER.unpack(header)
        if not magic.startswith(b"ustar") and not _is_header(header, checksum):
            if not header.strip(b"\0"):
                return
            if position == 0 and header.startswith(PACKED):
                raise DataError(f"{shard}: is compressed, so files cannot be read in random order; decompress it")
            raise DataError(f"{shard}: is not a valid tar archive from byte {position} on")
        length, start = _number(raw_length), position + BLOCK
        if kind in _FILE:
            length, name = long_size if long_size is not None else length, long_name
            if not name:
                name = _text(raw_name)
                if magic == b"ustar\0" and prefix[:1] != b"\0":
                    name = f"{_text(prefix)}/{name}"
            if not 0 <= length <= size - start:
                raise DataError(f"{shard}: ends in the middle of {name}; is the file complete?")
            yield name, start, length
            long_name, long_size = "", None
        elif kind == _LONG_NAME:
            long_name = _text(os.pread(file, min(length, LONGEST_NAMES), start))
        elif kind == _PAX:
            fields = _pax_fields(os.pread(file, min(length, LONGEST_NAMES), start))
            long_name = fields.get("path", long_name)
            long_size = int(fields["size"]) if "size" in fields else long_size
        else:
            if kind in _LINK:
                raise DataError(f"{shard}: {long_name or _text(raw_name)} is a link; pack the file itself (tar -h)")
            long_name, long_size = "", None
        position = start + -(-length // BLOCK) * BLOCK
    if position == 0 or (size % BLOCK and position < size):
        raise DataError(f"{shard}: is not a tar archive; is the file complete?")


def _is_header(header: bytes, checksum: bytes) -> bool:
    """Whether a block without the magic of ustar is the header of an older tar, by its checksum."""
    try:
        return sum(header) - sum(checksum) + 8 * ord(" ") == int(checksum.strip(b" \0"), 8)
    except ValueError:
        return False


def _number(field: bytes) -> int:
    """A size: octal digits, or bytes where the first bit is set, for more than 8 GiB."""
    return int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape").removeprefix("./")


def _pax_fields(content: bytes) -> dict[str, str]:
    """`LENGTH key=value` lines of an extended header."""
    fields = {}
    while match := re.match(rb"(\d+) ([^=]+)=", content):
        end = int(match[1])
        if not match.end() <= end <= len(content):
            break
        value = content[match.end() : end - 1]
        fields[match[2].decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape").removeprefix("./")
        content = content[end:]
    return fields
