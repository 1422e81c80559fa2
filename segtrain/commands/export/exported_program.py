"""Programs of torch.export, for torch itself and for what compiles such programs (AOTInductor, ExecuTorch)."""

import io
from pathlib import Path

import torch

from segtrain.commands.export.graph import ExportOptions, Graph, explained_failure, trace_program
from segtrain.inference.network import TorchNetwork

# What torch notes of the code that a node comes from: lines of it, its folders on this computer, names to import.
ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    program = trace_program(Graph(network, options), network, options)
    for node in program.graph.nodes:
        for key in ORIGINS:
            node.meta.pop(key, None)
    buffer = io.BytesIO()
    with explained_failure(network, options):  # math.ceil of a size has no place in the file
        torch.export.save(program, buffer, extra_files=options.note(network.task).metadata())
    path.write_bytes(buffer.getvalue())
