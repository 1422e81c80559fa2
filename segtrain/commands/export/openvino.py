"""OpenVINO, for processors and graphics of Intel: an .xml file and its weights in a .bin file beside it."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export import onnx
from segtrain.commands.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.commands.export.options import ExportOptions
from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.network import Network, TorchNetwork

NAME = "model.xml"
PRECISIONS = ("fp32", "fp16", "int8")
FIXED = False
REQUIRES = ("openvino", ("onnx", "onnxscript", "onnxruntime"))


def import_openvino() -> ModuleType:
    """The library, without the message that it sends to its makers whenever it is imported.

    Raises ConfigError where it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)
    require_libraries("OpenVINO", "openvino", ["openvino"])
    import openvino

    return openvino


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. In fp16 the file holds halves; what is computed in, the device chooses."""
    openvino = import_openvino()
    intermediate = path.with_suffix(".onnx")
    onnx.export(network, intermediate, options)
    model = openvino.Core().read_model(intermediate)
    for key, value in Note.of(network.task, options).metadata().items():
        model.set_rt_info(value, [key])
    openvino.save_model(model, path, compress_to_fp16=options.precision == "fp16")
    intermediate.unlink()


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would."""
    openvino = import_openvino()
    # The processor's own choice could be bfloat16, which the comparison at the export has not seen everywhere.
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    try:
        model = core.read_model(path)
        note = read_note(model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None, path)
        compiled = core.compile_model(model, "CPU", settings)
    except (RuntimeError, UnicodeDecodeError) as error:
        raise CheckpointError(_explain(path, error)) from error

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(np.ascontiguousarray(images.numpy()))[0].copy())

    refuse_precision(note, precision, path)
    return ExportedNetwork(note, torch.device("cpu"), run, path)


def _explain(path: Path, error: Exception) -> str:
    for file in (path, path.with_suffix(".bin")):
        if not file.is_file():
            return f"{path}: there is no {file.name}; OpenVINO needs both files"
    return f"{path}: is no model of OpenVINO, or damaged: {reason_of(error, line=-1)}"  # before, it tells of its code
