"""ONNX, run by ONNX Runtime."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export.graph import Graph, explain_failure, quiet, trace_program
from segtrain.commands.export.layers import replace_pools
from segtrain.commands.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.commands.export.options import ExportOptions
from segtrain.errors import CheckpointError, ConfigError, reason_of
from segtrain.inference.network import Network, TorchNetwork

if TYPE_CHECKING:
    import onnx
    import onnxruntime

NAME = "model.onnx"
PRECISIONS = ("fp32", "fp16", "int8")
FIXED = False
REQUIRES = ("onnx", ("onnx", "onnxscript", "onnxruntime"))

INPUT = "images"
OPSET = 18  # what torch's exporter writes by itself, and every runtime of the last years reads
AXES = ("batch", "channels", "height", "width")
# What onnxruntime puts before its reason: code, file, and the place in its own source.
PREAMBLE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?(/\S+:\d+ .*?\) )?")


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    import onnx

    model = build_onnx(network, options)
    if options.precision == "int8":
        from segtrain.commands.export.quantize import quantize

        model = quantize(model, options.calibration)
    note = Note.of(network.task, options)
    onnx.helper.set_model_props(model, note.metadata())
    onnx.checker.check_model(model)
    onnx.save(model, path)


def build_onnx(network: TorchNetwork, options: ExportOptions) -> "onnx.ModelProto":
    """The graph, without its note and not yet quantised. Raises ExportError where it cannot be had."""
    graph = Graph(network, options)
    replace_pools(graph)
    program = trace_program(graph, network, options)
    output = "labels" if options.labels else "probabilities"
    try:
        # The exporter reports its steps on stdout, whatever its `verbose` says.
        with quiet(), redirect_stdout(io.StringIO()):
            made = torch.onnx.export(
                program, (), input_names=[INPUT], output_names=[output], opset_version=OPSET, verbose=False
            )
    except Exception as error:  # whatever has no translation
        raise explain_failure(network, options, error) from error
    model = made.model_proto
    _name_axes(model)
    return model


def _name_axes(model: "onnx.ModelProto") -> None:
    """Words instead of the exporter's symbols where the input's axes are open."""
    names: dict[str, str] = {}
    for axis, name in zip(model.graph.input[0].type.tensor_type.shape.dim, AXES, strict=True):
        if axis.dim_param:
            names[axis.dim_param] = name
            axis.dim_param = name
    output = model.graph.output[0].type.tensor_type.shape.dim
    for axis, name in zip(output, AXES if len(output) == 4 else (AXES[0], *AXES[2:]), strict=True):
        if axis.dim_param:
            axis.dim_param = name
    del model.graph.value_info[:]  # its symbols are the old ones, and every runtime infers it


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package."""
    require_libraries(str(path), "onnx", ["onnxruntime"])
    session = _open(path, device)
    try:
        note = read_note(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: its metadata is damaged: {reason_of(error)}") from error
    refuse_precision(note, precision, path)

    def run(images: Tensor) -> Tensor:
        (given,) = session.run(None, {INPUT: np.ascontiguousarray(images.numpy())})
        return torch.from_numpy(given)

    return ExportedNetwork(note, torch.device("cpu"), run, path)


def _open(path: Path, device: torch.device) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised too
    providers: list = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ConfigError(f"{path}: this onnxruntime has no CUDA; pip install onnxruntime-gpu, or --device cpu")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the classes that onnxruntime raises have no common base
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such file") from error
        reason = reason_of(ValueError(PREAMBLE.sub("", str(error))))
        raise CheckpointError(f"{path}: is no ONNX file that can be run, or damaged: {reason}") from error
