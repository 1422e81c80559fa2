"""TorchScript, for programs in C++ and on phones."""

from pathlib import Path

import torch

from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, quiet, read_note


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. Loading may run code in the file."""
    extra = {KEY: ""}
    try:
        with quiet():
            script = torch.jit.load(path, map_location=device, _extra_files=extra)
    except (RuntimeError, ValueError) as error:
        reason = reason_of(error)
        raise CheckpointError(f"{path}: is not a TorchScript file, or is damaged: {reason}") from error
    return ExportedNetwork(read_note(extra[KEY], path, precision), device, script, path)
