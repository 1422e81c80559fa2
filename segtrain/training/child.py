"""Child process: the training of one run, for commands that train several."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def start_training(folder: Path, layers: Sequence[str], console: Path, **environment: str) -> subprocess.Popen:
    """Start or resume the run of a folder in a process, with `layers` as train.py takes them and further variables.

    What it prints goes to the end of the file `console`. It is in a session of its own: Ctrl-C does not reach it, but
    whoever started it, who tells it once to stop.
    """
    command = [sys.executable, "-m", "segtrain", "train", "--run-folder", str(folder), *layers]
    with console.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            start_new_session=True,
        )


def explain_end(status: int, console: Path, *, offset: int = 0) -> str:
    """Why a training has failed, in one line: the signal that killed it, or the last line that it wrote behind
    `offset` bytes of its console file."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (", which the system does when it runs out of memory" if name == "SIGKILL" else "")
    try:
        with console.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), f"exit status {status}")
