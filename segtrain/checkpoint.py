"""Checkpoints: plain types and tensors, written so that a crash at any moment leaves the previous one intact."""

import errno
import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from segtrain.errors import CheckpointError, reason_of
from segtrain.files import replacing

FORMAT = 1
BEST, LAST = "best.pt", "last.pt"
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # what file systems without them say


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint: to a temporary file next to it, synced, then renamed to `path`.

    Raises CheckpointError if the disk is full or not writable; the existing file is then untouched.
    """
    buffer = io.BytesIO()
    torch.save({"segtrain": FORMAT, **content}, buffer)
    try:
        path.parent.stat()  # a run folder that was deleted is not made again
        with replacing(path, sync=True) as temporary:
            temporary.write_bytes(buffer.getvalue())
    except OSError as error:
        kept = "; the previous one is kept" if path.exists() else ""
        size = f"{len(buffer.getvalue()) / 2**20:.0f} MiB"
        raise CheckpointError(
            f"{path}: cannot be saved ({size}): {error.strerror}{kept}; free some disk space, then use --resume"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Raises CheckpointError for a file that is missing, truncated, not a segtrain checkpoint, or contains code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: does not exist")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: is truncated or is not a checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: was not loaded: it contains more than tensors and plain values, which could run code"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: is damaged: {reason_of(error)}") from error
    if not isinstance(content, dict) or "segtrain" not in content:
        raise CheckpointError(f"{path}: is not a segtrain checkpoint; it has no 'segtrain' entry")
    if content["segtrain"] != FORMAT:
        raise CheckpointError(
            f"{path}: has format {content['segtrain']}, but this version reads {FORMAT}; update segtrain"
        )
    return content


def find_checkpoint(run: Path, name: str) -> Path:
    """best.pt or last.pt of a run folder; the path of a checkpoint file is returned as is.

    Raises CheckpointError for any other path.
    """
    if run.is_file():
        return run
    path = run / name
    if path.is_file():
        return path
    if not run.is_dir():
        raise CheckpointError(f"{run}: does not exist")
    if not (run / "config.yml").is_file():
        raise CheckpointError(f"{run}: is not a run folder; it has neither {name} nor config.yml")
    raise CheckpointError(f"{run}: has no {name}; the run stopped before it was first saved")


def lock_run(folder: Path) -> FileLock:
    """Lock a run folder for this process. The system releases the lock however the process ends; on file systems
    without locks there is none. Raises CheckpointError if another process has the lock."""
    lock = FileLock(folder / ".lock", timeout=1)  # seconds; read_record holds it for a moment
    try:
        with warnings.catch_warnings(action="ignore"):  # filelock's, where a file with the process's number has to do
            lock.acquire()
    except Timeout as error:
        raise CheckpointError(f"{folder}: another process is training in it; wait until it ends") from error
    except (OSError, NotImplementedError) as error:  # older versions of filelock raise the second for ENOSYS
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
    return lock


def rng_state() -> dict[str, Any]:
    """State of torch's generators: of the CPU and of every CUDA device."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_rng_state(state: dict[str, Any]) -> None:
    """Restore the generators; those of CUDA only if the number of devices is the same."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
