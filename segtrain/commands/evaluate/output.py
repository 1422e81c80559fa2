"""The folder that an evaluation leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segtrain.errors import DataError
from segtrain.files import explained_write, make_numbered_folder, replacing
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
            folder = make_numbered_folder(_stem(source, split))
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


def _stem(source: Path, split: str) -> Path:
    kind = find_kind(source)
    if kind == "run":
        return source / f"evaluation-{split}"
    return source.parent / (f"evaluation-{split}" if kind == "checkpoint" else f"{source.name}-evaluation-{split}")


def write_picture(path: Path, draw: Callable[[Path], None]) -> None:
    """A picture that `draw` writes, as a whole or not at all. Raises DataError where it cannot be written."""
    with explained_write(path), replacing(path) as temporary:
        draw(temporary)
