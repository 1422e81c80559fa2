"""OpenVINO, for processors and graphics of Intel: an .xml file and its weights in a .bin file beside it."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.errors import CheckpointError
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, explained_damage, read_note
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
    if not path.with_suffix(".bin").is_file():
        raise CheckpointError(f"{path}: there is no {path.with_suffix('.bin').name}; OpenVINO needs both files")
    # Before its last line, OpenVINO tells of its own code. What it cannot read it tries as a model of TensorFlow too,
    # which says so on stderr.
    with explained_damage(path, "a model of OpenVINO", line=-1), silent():
        model = core.read_model(path)
        text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        compiled = core.compile_model(model, "CPU", settings)
    note = read_note(text, path, precision)

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(compiled(np.ascontiguousarray(images.numpy()))[0].copy())

    return ExportedNetwork(note, torch.device("cpu"), run, path)
