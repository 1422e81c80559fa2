"""Commands: errors to one line and an exit status, output paths, libraries of extras."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segtrain.errors import ConfigError, SegtrainError, reason_of
from segtrain.memory import keep_freed_memory


class Stopped(Exception):
    """The command was asked to stop by a signal, and what it had is saved; the exit status is 128 and the signal's
    number."""

    def __init__(self, number: int, message: str = "stopped"):
        super().__init__(message)
        self.exit_code = 128 + number


def parse_output(text: str) -> Path:
    """A file or folder to write to. Raises ArgumentTypeError for nothing at all: a variable that is not set would
    otherwise mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name what is to be written")
    return Path(text)


def run_command(main: Callable[[Any], int | None], options: Any) -> int:
    """Run the main function of a command. The exit status is what it returns or 0, 2 for what the user can put right,
    that of a signal that stopped it."""
    keep_freed_memory()
    status = None
    try:
        status = main(options)
    except SegtrainError as error:
        print(error, file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return status or 0


# What they bring does not go with requirements.txt; see pyproject.toml.
APART = ("savedmodel-export", "tflite-export")


def require_libraries(what: str, extra: str, modules: Sequence[str]) -> None:
    """Import modules of an extra of segtrain. Raises ConfigError where one is not there, with the command that installs
    it for those who work in the folder of segtrain, or cannot be imported, with the reason."""
    install = f'pip install -e ".[{extra}]"'  # editable: what is installed otherwise would be a copy that grows old
    if extra in APART:
        install = f"python3 -m venv .venv-export && . .venv-export/bin/activate && {install}"
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            if error.name != name:
                raise ConfigError(f"{what} needs {name}, which cannot be imported: {reason_of(error)}") from error
            raise ConfigError(f"{what} needs {name}; in the folder of segtrain: {install}") from error
