"""A program of torch.export, for torch itself and for what compiles such programs (AOTInductor, ExecuTorch)."""

import io
from pathlib import Path

import torch
from torch.export.pt2_archive._package import load_pt2

from segtrain.commands.export.archive import Archive, require_harmless_program
from segtrain.commands.export.graph import Graph, explain_failure, quiet, trace_program
from segtrain.commands.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.commands.export.options import ExportOptions
from segtrain.inference.network import Network, TorchNetwork

NAME = "model.pt2"
PRECISIONS = ("fp32", "fp16")
FIXED = False
REQUIRES = None

# What torch notes of the code that a node comes from: lines of it, its folders on this computer, names to import.
ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    program = trace_program(Graph(network, options), network, options)
    for node in program.graph.nodes:
        for key in ORIGINS:
            node.meta.pop(key, None)
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
    archive = Archive(path, "exported program of torch")
    note = read_note(archive.read(f"extra/{KEY}") if f"extra/{KEY}" in archive.names else None, path)
    refuse_precision(note, precision, path)
    require_harmless_program(archive)
    try:
        with quiet():
            # Not torch.export.load: it goes on to an old form, whose records are found in another way.
            program = load_pt2(io.BytesIO(archive.content)).exported_programs["model"]
        if device.type != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        module = program.module(check_guards=False)
    except Exception as error:  # whatever a damaged description of a graph leads to
        raise archive.damaged(error) from error
    return ExportedNetwork(note, device, module, path)
