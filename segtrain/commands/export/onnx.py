"""ONNX, run by ONNX Runtime and whatever reads ONNX."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import onnx
import torch

from segtrain.commands.export.graph import ExportOptions, Graph, explained_failure, trace_program
from segtrain.commands.export.layers import replace_pools
from segtrain.commands.export.quantize import quantize
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.exported import INPUT, quiet

OPSET = 18  # what torch's exporter writes by itself, and every runtime of the last years reads
AXES = ("batch", "channels", "height", "width")


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    model = build_onnx(network, options)
    if options.precision == "int8":
        model = quantize(model, options.calibration)
    onnx.helper.set_model_props(model, options.note(network.task).metadata())
    onnx.checker.check_model(model)
    onnx.save(model, path)


def build_onnx(network: TorchNetwork, options: ExportOptions) -> onnx.ModelProto:
    """The graph, without its note and not yet quantized. Raises ExportError where it cannot be had."""
    graph = Graph(network, options)
    replace_pools(graph)
    program = trace_program(graph, network, options)
    # The exporter reports its steps on stdout, whatever its `verbose` says.
    with explained_failure(network, options), quiet(), redirect_stdout(io.StringIO()):
        made = torch.onnx.export(
            program, (), input_names=[INPUT], output_names=[options.output], opset_version=OPSET, verbose=False
        )
    model = made.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of source code, with the folders of this computer
    _name_axes(model)
    return model


def _name_axes(model: onnx.ModelProto) -> None:
    """Words instead of the exporter's symbols where axes are open."""
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip(axes, AXES if len(axes) == 4 else (AXES[0], *AXES[2:]), strict=True):
            if axis.dim_param:
                axis.dim_param = name
    del model.graph.value_info[:]  # its symbols are the old ones, and every runtime infers it
