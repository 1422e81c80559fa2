"""The folder that an evaluation leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segtrain.errors import DataError
from segtrain.files import replace_text
from segtrain.inference.model_files import find_kind

TABLE, NUMBERS, IMAGES = "evaluation.txt", "evaluation.csv", "images.csv"
SHEET, CONFUSION, CALIBRATION = "worst.png", "confusion.png", "calibration.png"


@contextmanager
def output_folder(asked: Path | None, source: Path, split: str) -> Iterator[Path]:
    """The folder to write to, made before the work begins, so that one that cannot be is told first.

    Without `asked` it is evaluation-SPLIT-1 in the run folder, or -2 where that is taken, and so on: nothing is ever
    overwritten. For an exported model it lies beside it, with its name in front. A folder that was asked for may hold
    an evaluation, which is replaced; it may not hold files of the same names from elsewhere, like a run folder.
    Nothing is left of it where the work fails before anything is written. Raises DataError.
    """
    made = [] if asked is None else [path for path in (asked, *asked.parents) if not path.exists()]
    try:
        if asked is None:
            folder = _next_folder(source, split)
            made = [folder]
        else:
            asked.mkdir(parents=True, exist_ok=True)
            folder = asked
    except OSError as error:
        where = asked or source
        raise DataError(f"{where}: no folder can be made there: {error.strerror}; name another with -o") from error
    if asked is not None and not (folder / NUMBERS).exists():
        foreign = [name for name in (TABLE, IMAGES, SHEET, CONFUSION, CALIBRATION) if (folder / name).exists()]
        if foreign:
            raise DataError(f"{folder}: has a {foreign[0]} that is of no evaluation; name another folder with -o")
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # there is something in it
            for path in made:
                path.rmdir()
        raise


def _next_folder(source: Path, split: str) -> Path:
    kind = find_kind(source)
    if kind == "run":
        stem = source / f"evaluation-{split}"
    elif kind == "checkpoint":
        stem = source.parent / f"evaluation-{split}"
    else:
        stem = source.parent / f"{source.name}-evaluation-{split}"
    number = 1
    while True:  # another evaluation may take the number at the same moment
        folder = stem.with_name(f"{stem.name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all. Raises DataError where it cannot be written."""
    try:
        replace_text(path, text)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def write_picture(path: Path, draw: Callable[[Path], None]) -> None:
    """A picture that `draw` writes, whole or not at all. Raises DataError where it cannot be written."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        draw(temporary)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
