"""Findings: what is wrong with a data set, and what to do about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
EXPERIMENT, RUN, TAKE_OUT = "write in the experiment", "run", "take out of the lists of the data set"
_LISTED = 500  # samples that are named in a fix
# What `check --apply NAME` can do; a finding names the one that fits it.
FIXES = (
    "invert-masks",
    "resize-masks",
    "set-aside-contradicting",
    "set-aside-copies",
    "set-aside-flat",
    "set-aside-ignored",
    "set-aside-leaks",
    "set-aside-near-leaks",
    "set-aside-one-class",
    "set-aside-other-kind",
    "set-aside-other-size",
    "set-aside-unpaired",
    "set-aside-unreadable",
    "snap-masks",
    "turn-masks",
    "turn-unsure-masks",
)


class Change(NamedTuple):
    """A file to be taken out of the data set, or to be replaced: `edit` makes the new pixels (HW or HWC) from the old
    ones, and `suffix` is that of the new file where it is another type."""

    file: str
    edit: Callable[[Any], Any] | None = None
    suffix: str = ""


@dataclass(frozen=True)
class Fix:
    """What to do about a finding. `label` says where the `lines` go: EXPERIMENT, RUN or TAKE_OUT. With a `name`, one of
    FIXES, the line is the command that makes the `changes`."""

    label: str
    lines: Sequence[str] = ()
    name: str = ""
    changes: Sequence[Change] = ()

    def lines_for(self, command: str) -> Sequence[str]:
        """The lines to be shown; `command` is the check that found what is to be fixed."""
        return [f"{command} --apply {self.name}"] if self.name else self.lines


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error: training stops or learns the wrong thing; warning: the result is likely worse) or
    worth knowing (note), and the one thing to do about it.

    `files` are those concerned, the worst first; `records` are the indices of the records to look at, and `marked` the
    mask values (packed colours) to be shown in them.
    """

    level: Level
    title: str
    explanation: str
    fix: Fix | None = None
    files: Sequence[str] = ()
    records: Sequence[int] = ()
    marked: frozenset[int] = frozenset()


def yaml_fix(*lines: str) -> Fix:
    """Lines of an experiment file."""
    return Fix(EXPERIMENT, lines)


def shell_fix(line: str) -> Fix:
    """A line for a shell."""
    return Fix(RUN, [line])


def apply_fix(name: str, changes: Iterable[Change]) -> Fix:
    """What `check --apply NAME` does; a file that is named twice is changed once."""
    assert name in FIXES, name
    return Fix(RUN, name=name, changes=list({change.file: change for change in changes}.values()))


def set_aside(name: str, files: Iterable[str]) -> Fix:
    """Rename files so that a folder's images and masks no longer hold them; nothing is deleted."""
    return apply_fix(name, map(Change, files))


def take_out(names: Sequence[str]) -> Fix:
    """Names for the user to take out of a list that segtrain does not change."""
    return Fix(TAKE_OUT, names[:_LISTED])


def count_of(number: int, thing: str) -> str:
    """`1 image`, `2 images`, `1,204 classes`."""
    return f"{number:,} {thing if number == 1 else thing + ('es' if thing.endswith('s') else 's')}"


def are(number: int) -> str:
    """The verb for so many."""
    return "is" if number == 1 else "are"
