"""ONNX, run by ONNX Runtime."""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.errors import CheckpointError, ConfigError, reason_of
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import INPUT, KEY, ExportedNetwork, read_note

# What onnxruntime puts before its reason: code, file, and the place in its own source.
PREAMBLE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?(/\S+:\d+ .*?\) )?")


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, or on a GPU of CUDA."""
    require_libraries(str(path), "onnx", ["onnxruntime"])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised too
    providers: list = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ConfigError(
                f"{path}: this onnxruntime does not support CUDA; pip install onnxruntime-gpu, or use --device cpu"
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except Exception as error:  # the classes that onnxruntime raises have no common base
        reason = reason_of(ValueError(PREAMBLE.sub("", str(error))))
        raise CheckpointError(f"{path}: is not an ONNX file that can be run or is damaged: {reason}") from error

    def run(images: Tensor) -> Tensor:
        (given,) = session.run(None, {INPUT: np.ascontiguousarray(images.numpy())})
        return torch.from_numpy(given)

    return ExportedNetwork(read_note(text, path, precision), torch.device("cpu"), run, path)
