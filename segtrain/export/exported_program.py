"""A program of torch.export, for torch itself and for what compiles such programs (AOTInductor, ExecuTorch)."""

import io
from pathlib import Path

import torch

from segtrain.export.archive import Archive, require_harmless_program
from segtrain.export.graph import Graph, explain_failure, quiet, trace_program
from segtrain.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.export.options import ExportOptions
from segtrain.infer.network import Network, TorchNetwork

NAME = "model.pt2"
PRECISIONS = ("fp32", "fp16")
FIXED = False
REQUIRES = None


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    program = trace_program(Graph(network, options), network, options)
    buffer = io.BytesIO()
    try:
        torch.export.save(program, buffer, extra_files=Note.of(network.task, options).metadata())
    except Exception as error:  # whatever has no place in the file format, like math.ceil of a size
        raise explain_failure(network, options, error) from error
    path.write_bytes(buffer.getbuffer())


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. What could run code in the file is refused.

    The conditions that tracing left on sizes are not looked at: many come from how memory is laid out, and each form is
    compared on several sizes before it is written.
    """
    refuse_precision(path, precision)
    archive = Archive(path, "exported program of torch")
    note = read_note(archive.read(f"extra/{KEY}") if f"extra/{KEY}" in archive.names else None, path)
    require_harmless_program(archive)
    try:
        with quiet():
            program = torch.export.load(io.BytesIO(archive.content))
        if device.type != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        module = program.module(check_guards=False)
    except Exception as error:  # whatever a damaged description of a graph leads to
        raise archive.damaged(error) from error
    return ExportedNetwork(note, device, module)
