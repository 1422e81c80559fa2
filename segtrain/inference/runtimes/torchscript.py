"""TorchScript, for programs in C++ and on phones."""

from pathlib import Path

import torch

from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, explained_damage, quiet, read_note


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. Loading may run code in the file."""
    extra = {KEY: ""}
    with explained_damage(path, "a TorchScript file"), quiet():
        script = torch.jit.load(path, map_location=device, _extra_files=extra)
    return ExportedNetwork(read_note(extra[KEY], path, precision), device, script, path)
