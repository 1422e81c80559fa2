"""What the check has found, and the lines that mend it."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from segtrain.formats.sample import Sample

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
EXPERIMENT, RUN, TAKE_OUT = "write in the experiment", "run", "take out of the lists of the data set"
_LISTED = 500  # samples whose lines are written out


@dataclass(frozen=True)
class Fix:
    """Lines to be copied, and what to do with them: EXPERIMENT, RUN or TAKE_OUT."""

    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error: training stops or learns the wrong thing; warning: it likely is worse for it) or
    worth knowing (note), and the one thing to do about it.

    `files` are those concerned, the worst first; `records` are the indices, in the list of all records, of those worth
    looking at, and `marked` the mask values (packed colours) to be shown in them.
    """

    level: Level
    title: str
    explanation: str
    fix: Fix | None = None
    files: tuple[str, ...] = ()
    records: tuple[int, ...] = ()
    marked: frozenset[int] = frozenset()


def yaml_fix(*lines: str) -> Fix:
    """Lines of an experiment file."""
    return Fix(EXPERIMENT, lines)


def shell_fix(*lines: str) -> Fix:
    """Lines for a shell."""
    return Fix(RUN, lines)


def set_aside(files: Iterable[str]) -> Fix:
    """Renames files so that a folder's images and masks no longer hold them; nothing is deleted."""
    chosen = list(dict.fromkeys(files))
    return Fix(RUN, tuple(f"mv {shlex.quote(f)} {shlex.quote(f + '.aside')}" for f in chosen[: 2 * _LISTED]))


def leave_out(samples: Sequence[Sample], *, in_folders: bool) -> Fix:
    """Takes samples out of a data set: their files renamed where folders are read as they are, else their names for the
    user to take out of a list."""
    if in_folders:
        return set_aside(file for sample in samples for file in (sample.image, *filter(None, sample.mask_files)))
    return Fix(TAKE_OUT, tuple(sample.name for sample in samples[:_LISTED]))


def count_of(number: int, thing: str) -> str:
    """`1 image`, `2 images`, `1,204 classes`."""
    return f"{number:,} {thing if number == 1 else thing + ('es' if thing.endswith('s') else 's')}"


def are(number: int) -> str:
    """The verb for so many."""
    return "is" if number == 1 else "are"
