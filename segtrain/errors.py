"""Errors: what the user can fix is reported in one line: what was given, what was expected and what to write.

SegtrainError              shown on stderr without a traceback; exit status 2
  ConfigError              the configuration, the command line, an environment variable
  DataError                an image, a mask, a list of them; a file that cannot be written
  CheckpointError          a run folder or a checkpoint
  TrainingError            the training cannot continue: not finite, out of memory, a batch too small
command.Stopped            a signal came and the state is saved; exit status 128 + the signal's number (130, 143)
OSError with a file name   one line; exit status 1
too many open files        one line, whoever raises it; exit status 1
everything else            a bug in segtrain: a traceback; exit status 1
"""

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SegtrainError(Exception):
    """Shown on stderr without a traceback, one line per argument; the process ends with exit status 2."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    def _render_traceback_(self) -> list[str]:
        """What IPython, and so a notebook, shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(SegtrainError):
    """The configuration, the command line or an environment variable in it is wrong."""


class DataError(SegtrainError):
    """An image, a mask or a list of them is missing, damaged, or not what the configuration says."""


class CheckpointError(SegtrainError):
    """A run folder or a checkpoint in it cannot be used, or cannot be written."""


class TrainingError(SegtrainError):
    """Training cannot continue: the loss is not finite, memory ran out, or a batch is too small."""


def reason_of(error: BaseException, *, line: int = 0) -> str:
    """The first line of an error's message, or another of its non-empty lines, at most 200 characters; its class if the
    message is empty."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return (lines or [type(error).__name__])[line][:200]


def name_some(names: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 5 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def count_of(number: int, thing: str, verb: str = "") -> str:
    """`1 image`, `2 images`, `1,204 classes`; with a verb, `1 image is`, `2 images are`."""
    if number != 1:
        thing = thing + ("es" if thing.endswith("s") else "s")
        verb = {"is": "are", "has": "have"}.get(verb, verb.removesuffix("s"))
    return f"{number:,} {thing} {verb}".rstrip()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine or the GPU ran out of memory.

    Only CUDA has a class for it (torch.OutOfMemoryError, recognized by its name, because importing torch takes
    seconds); torch's CPU allocator, OpenCV and the runtimes of exported files say it in the message of a general error.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    phrases = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")
    return any(phrase in str(error).lower() for phrase in phrases)


OUT_OF_FILES = "too many open files; raise the limit of this shell: ulimit -n 4096"


def is_out_of_files(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says that this process has reached its limit of open files: the system
    says it by number, libraries that load, share or map a file in the message of a general error."""
    phrases = ("too many open files", "received 0 items of ancdata")
    while error is not None:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            return True
        if any(phrase in str(error).lower() for phrase in phrases):
            return True
        error = error.__cause__ or error.__context__
    return False


def first_fault(error: "ValidationError") -> str:
    """The first validation error of a pydantic model: where it is and what is wrong."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the content'}: {first['msg'].removeprefix('Value error, ')}"
