"""What can go wrong through what the user gave: each error is one line that says what to do."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SegtrainError(Exception):
    """Shown as one line on stderr, without a traceback; the process ends with exit status 2."""


class ConfigError(SegtrainError):
    """The configuration, the command line or an environment variable in it is wrong."""


class DataError(SegtrainError):
    """An image, a mask or a list of them is missing, broken, or not what the configuration says."""


class CheckpointError(SegtrainError):
    """A run folder or a checkpoint in it cannot be used, or cannot be written."""


class TrainingError(SegtrainError):
    """Training cannot go on: the loss is not finite, memory ran out, a batch is too small."""


def reason_of(error: BaseException, *, line: int = 0) -> str:
    """The first line of what an error says, or another of the lines that are not empty, of 200 characters at most; its
    class where it says nothing."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return (lines or [type(error).__name__])[line][:200]


def first_fault(error: "ValidationError") -> str:
    """The first thing that is wrong with what was read into a model of pydantic: where it is, and what is wrong."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg'].removeprefix('Value error, ')}"
