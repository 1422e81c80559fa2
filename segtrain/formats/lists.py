"""Lists of samples, one a line: the lines of the text files that many datasets publish their splits as."""

import codecs
import os
import re
from collections.abc import Iterable
from pathlib import Path

from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable, require_own_mask, require_path


def read_text(path: Path, what: str = "data") -> str:
    """The text of a list or a table in UTF-8, or in UTF-16 where it begins with the mark of that, with \\n between the
    lines. Other bytes are kept as in the names of files, which may have them.

    Raises DataError, beginning with `what` where the file is missing, and for NUL bytes and control characters.
    """
    try:
        content = require_path(path, what).read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16") if is_utf16 else content.decode("utf-8", "surrogateescape")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not valid UTF-16 text: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    text = re.sub("\r\n?", "\n", text.lstrip("\ufeff"))
    control = re.search(r"[^\n\t -~\x80-\U0010ffff]", text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise DataError(
            f"{path}:{line}: contains the control character {control[0]!a}; expected a text file: save it as UTF-8"
        )
    return text


def read_lines(path: Path, what: str = "data") -> list[tuple[int, str]]:
    """(number, text) of the lines that are not empty, counted from 1, without the white space around them.

    Raises DataError as read_text does, and where no line has text.
    """
    text = read_text(path, what)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; expected one sample per line")
    return lines


def slashed(folder: Path, written: str) -> str:
    """A path below `folder` as a list has it, with slashes for backslashes, unless a file has these in its name."""
    if "\\" not in written or os.path.exists(os.path.join(folder, written)):
        return written
    return re.sub(r"\\+", "/", written)


def why_missing(file: str, otherwise: str) -> str:
    """What to tell of a path in a list where no file is."""
    if re.search(r"(^|/)[A-Za-z]:/", file):
        return "it starts with a Windows drive; write paths relative to the dataset"
    if re.search("[\udc80-\udcff]", file):
        return "its name is not in UTF-8; save the list as UTF-8"
    return otherwise if file.isprintable() else f"its name contains invisible characters: {file!a}"


def read_names(path: Path, what: str = "data") -> list[tuple[int, str]]:
    """(line, name) of a list with one name a line, the first word of it. Raises DataError as read_lines does, and for a
    name that is there twice."""
    names = [(line, text.split()[0]) for line, text in read_lines(path, what)]
    require_distinct(path, names)
    return names


def read_pairs(path: Path, what: str = "data") -> list[tuple[int, tuple[str, str]]]:
    """(line, (image, mask)) of a list with two paths a line, separated by a tab, a comma or spaces: the first of these
    that is in the line, so that paths in a line with a tab may hold the others."""
    pairs = []
    for line, text in read_lines(path, what):
        sign = next((sign for sign in "\t," if sign in text), None)
        parts = [part.strip() for part in text.split(sign)]
        if len(parts) != 2 or not all(parts):
            raise DataError(
                f"{path}:{line}: expected an image and a mask separated by a space, a comma or a tab, not: {text}"
            )
        pairs.append((line, (parts[0], parts[1])))
    return pairs


def require_distinct(path: Path, names: Iterable[tuple[int, str]]) -> None:
    """Raises DataError for a name that two lines of the list have."""
    seen: dict[str, int] = {}
    for line, name in names:
        if seen.setdefault(name, line) != line:
            raise DataError(f"{path}:{line}: {name} is already in line {seen[name]}; remove one of them")


def listed_samples(path: Path, samples: Iterable[tuple[int, Sample]], *, mask_band: int | None = None) -> SampleTable:
    """The samples of a list, given with their lines. Raises DataError for a name that two have, for a file that is
    not there, and for an image that is its own mask without a `mask_band`."""
    rows = list(samples)
    require_distinct(path, ((line, sample.name) for line, sample in rows))
    for what, files in (("image", [s.image for _, s in rows]), ("mask", [s.mask_file for _, s in rows])):
        missing = [index for index, file in enumerate(files) if not os.path.exists(file)]
        if missing:
            line, first = rows[missing[0]][0], files[missing[0]]
            count = f"{len(missing)} of the {len(rows)} {what}s in this list are missing"
            raise DataError(f"{path}:{line}: {what} {first} does not exist; {why_missing(first, count)}")
    for line, sample in rows if mask_band is None else ():
        require_own_mask(sample, f"{path}:{line}")
    return SampleTable(sample for _, sample in rows)
