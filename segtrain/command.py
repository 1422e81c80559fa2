"""Commands: errors as one line and an exit status, output paths, libraries of extras."""

import argparse
import errno
import importlib
import io
import os
import re
import secrets
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from segtrain.errors import OUT_OF_FILES, ConfigError, SegtrainError, is_out_of_files, reason_of
from segtrain.memory import keep_freed_memory


class Stopped(Exception):
    """A signal asked the command to stop, and its state is saved; the exit status is 128 plus the number of the
    signal."""

    def __init__(self, number: int, message: str = "stopped"):
        super().__init__(message)
        self.exit_code = 128 + number


class StopSignal:
    """Catches SIGINT and SIGTERM, so that a step is finished and saved before the process ends. A second signal takes
    effect at once, except in one of several processes, because torchrun sends it again. In a notebook or a Python
    shell, which must survive, a second signal does what it did before. SIGUSR1 saves and continues.

    Outside the main thread, where an engine may call a training, signals cannot be caught.
    """

    def __init__(self) -> None:
        self.number = 0
        self.wants_save = False
        handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._note)
        if hasattr(signal, "SIGUSR1"):
            handlers[signal.SIGUSR1] = self._note_save
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.signal(n, handler) for n, handler in handlers.items()} if in_main_thread else {}

    def release(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        if not is_shared():
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, self._before[each] if hasattr(sys, "ps1") else signal.SIG_DFL)

    def _note_save(self, _number: int, _frame: FrameType | None) -> None:
        self.wants_save = True


def parse_output(text: str) -> Path:
    """A file or folder to write to. Raises ArgumentTypeError for an empty string: an unset variable would otherwise
    mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a file or folder to write to")
    return Path(text)


LONGEST_LINE = 1000  # characters of a line of an error


def prepare_streams() -> None:
    """Let print reach any stdout and stderr: characters that a console does not support are escaped, and closed streams
    discard everything."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (until the process ends)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# Stands for the escape in colors of our own, for which nothing that is read can be taken.
_OWN_ESCAPE = f"<{secrets.token_hex(16)}>"
_CONTROL = re.compile(f"{_OWN_ESCAPE}|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def colored(text: str, color: int) -> str:
    """A string in a terminal color, like 31 for red, to be printed after `escape_stdout`."""
    return f"{_OWN_ESCAPE}[{color}m{text}{_OWN_ESCAPE}[0m"


def escape_stdout() -> None:
    """Escape control characters, except tabs and line breaks, in everything that is printed from now on: names of files
    and classes may contain terminal commands. The progress bars go to stderr."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.write = lambda text: type(stream).write(stream, _CONTROL.sub(_show, text))


def _show(match: re.Match) -> str:
    return "\x1b" if match[0] == _OWN_ESCAPE else repr(match[0])[1:-1]


def tell(error: BaseException | str) -> None:
    """Print an error on stderr. Control characters are escaped, and so are line breaks within a line of a
    SegtrainError; of a very long line the middle is left out. Of several processes only one prints."""
    lines, speaker = [], ""
    if is_shared():
        from segtrain.distributed import describe, is_first_to_speak

        if not is_first_to_speak():
            return
        speaker = f"{describe()}: " if os.environ.get("RANK") != "0" else ""
    for line in map(str, error.args) if isinstance(error, SegtrainError) else str(error).split("\n"):
        line = "".join(sign if sign.isprintable() or sign == "\t" else repr(sign)[1:-1] for sign in line)
        left_out = len(line) - LONGEST_LINE
        if left_out > 0:
            line = f"{line[: LONGEST_LINE // 2]} [.. {left_out:,} characters ..] {line[-LONGEST_LINE // 2 :]}"
        lines.append(line)
    with suppress(OSError):  # stderr may be full or gone too
        print("\n".join(speaker + line for line in lines), file=sys.stderr, flush=True)


def run_command(main: Callable[[Any], int | None], options: Any, *, takes_several: bool = False) -> int:
    """Run the main function of a command; one that `takes_several` processes joins them. The exit status is what it
    returns or 0, 2 for errors that the user can fix, or that of a signal that stopped it."""
    keep_freed_memory()
    try:
        status = _run_joined(main, options) if takes_several and is_shared() else main(options)
        sys.stdout.flush()
        return status or 0
    except SegtrainError as error:
        tell(error)
        return 2
    except Stopped as stopped:
        tell(stopped)
        return stopped.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        _drop_stdout()
        return 0
    except Exception as error:
        if is_out_of_files(error):
            tell(OUT_OF_FILES)
            forget(error)
            return 1
        if not isinstance(error, OSError):
            raise
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        tell(f"{error.filename or 'standard output or a file'}: {error.strerror}")
        if error.filename is None:
            _drop_stdout()
        return 1


def is_shared() -> bool:
    """Whether torchrun, or an engine like it, has started several processes for this command."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _run_joined(main: Callable[[Any], int | None], options: Any) -> int | None:
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns of unused parameters, which are there or not
    from segtrain.distributed import joined

    with joined():
        return main(options)


def forget(error: BaseException | None) -> None:
    """Release what an error and its causes refer to: models, batches, reading processes. Quietly: a half-built torch
    loader would print a traceback."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    sys.unraisablehook = hook


def _drop_stdout() -> None:
    """Otherwise Python complains at exit about what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What they bring does not go with requirements.txt; see pyproject.toml.
APART = ("savedmodel-export", "tflite-export")


def require_libraries(what: str, extra: str, modules: Sequence[str]) -> None:
    """Import modules of an extra of segtrain. Raises ConfigError if one is missing, with the command that installs it
    for those who work in the segtrain folder, or if one cannot be imported, with the reason."""
    install = f'pip install -e ".[{extra}]"'  # editable: what is installed otherwise would be a copy that grows old
    if extra in APART:
        install = f"python3 -m venv .venv-export && . .venv-export/bin/activate && {install}"
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            if error.name != name:
                raise ConfigError(f"{what} needs {name}, which cannot be imported: {reason_of(error)}") from error
            raise ConfigError(f"{what} needs {name}; in the segtrain folder, run: {install}") from error
