"""Programs of torch.export, for torch itself and for what compiles such programs (AOTInductor, ExecuTorch)."""

import logging
from pathlib import Path

import torch

from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, explained_damage, quiet, read_note


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. Loading may run code in the file.

    The conditions that tracing left on sizes are not checked: many come from how memory is laid out, and each form is
    compared on several sizes before it is written.
    """
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # it warns with a traceback of what it raises too
    extra = {KEY: ""}
    with explained_damage(path, "a program of torch.export"), quiet():
        program = torch.export.load(path, extra_files=extra)
        if device.type != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        module = program.module(check_guards=False)
    return ExportedNetwork(read_note(extra[KEY], path, precision), device, module, path)
