"""OpenVINO, for processors and graphics of Intel: an .xml file and its weights in a .bin file beside it."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, read_note
from segtrain.inference.runtimes.tensorflow import silent


def import_openvino(what: str) -> ModuleType:
    """The library, without the message that it sends to its makers whenever it is imported.

    Raises ConfigError where it is not installed, with `what` needs it.
    """
    sys.modules.setdefault("openvino_telemetry", None)
    require_libraries(what, "openvino", ["openvino"])
    import openvino

    return openvino


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would."""
    openvino = import_openvino(str(path))
    # The processor's own choice could be bfloat16, which the comparison at the export has not seen everywhere.
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    try:
        with silent():  # what it cannot read it tries as a model of TensorFlow too, which says so on stderr
            model = core.read_model(path)
        text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        note = read_note(text, path, precision)
        compiled = core.compile_model(model, "CPU", settings)
    except (RuntimeError, UnicodeDecodeError) as error:
        if not path.with_suffix(".bin").is_file():
            name = path.with_suffix(".bin").name
            raise CheckpointError(f"{path}: there is no {name}; OpenVINO needs both files") from error
        reason = reason_of(error, line=-1)  # before it, OpenVINO tells of its own code
        raise CheckpointError(f"{path}: is not a model of OpenVINO, or is damaged: {reason}") from error

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(np.ascontiguousarray(images.numpy()))[0].copy())

    return ExportedNetwork(note, torch.device("cpu"), run, path)
