"""Passes of exported networks in ONNX Runtime, and in TensorRT as a provider of it, for benchmarks.gpu."""

import importlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.train_throughput import Contender
from segtrain.commands.export.forms import ONNX
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.exported import INPUT

RUNTIMES = {"ONNX Runtime": "CUDAExecutionProvider", "TensorRT": "TensorrtExecutionProvider"}


def explain_missing(runtime: str, device: torch.device) -> str:
    """Why one of RUNTIMES cannot be measured on a device; empty where it can."""
    needed = [*ONNX, *(["tensorrt"] if runtime == "TensorRT" else [])]
    if missing := [name for name in needed if find_spec(name) is None]:
        return f"not installed: {', '.join(missing)}"
    if device.type != "cuda":
        return "skipped: TensorRT needs a CUDA device" if runtime == "TensorRT" else ""
    import onnxruntime

    there = RUNTIMES[runtime] in onnxruntime.get_available_providers()
    return "" if there else f"not installed: an onnxruntime with {RUNTIMES[runtime]}"


def write_onnx(network: TorchNetwork, path: Path, *, precision: str, size: tuple[int, int]) -> None:
    """Export a network that is on the CPU in float32, for any number of images of that height and width in pixels;
    `precision` is fp32 or fp16. What comes out is not compared with the original."""
    from segtrain.commands.export.graph import ExportOptions
    from segtrain.commands.export.onnx import export

    export(network, path, ExportOptions(labels=False, precision=precision, size=size, calibration=lambda: iter(())))


def runtime_passes(path: Path, runtime: str, images: Tensor) -> Contender:
    """Passes of an ONNX file over images (N, C, H, W) uint8, contiguous, on the device where the probabilities stay.

    On CUDA a pass does not wait for the device. Raises RuntimeError where the runtime falls back to the processor.
    """
    import onnxruntime

    device, index = images.device.type, images.device.index or 0
    providers: list = ["CPUExecutionProvider"]
    if device == "cuda":
        providers.insert(0, (RUNTIMES["ONNX Runtime"], {"device_id": index}))
    if runtime == "TensorRT":
        importlib.import_module("tensorrt")  # loads the libraries that the provider looks for
        providers.insert(0, (RUNTIMES[runtime], {"device_id": index, "trt_fp16_enable": True}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised too
    session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    wanted = RUNTIMES[runtime] if device == "cuda" else "CPUExecutionProvider"
    if session.get_providers()[0] != wanted:
        raise RuntimeError(f"onnxruntime cannot load its {wanted}")
    settings = onnxruntime.RunOptions()
    settings.add_run_config_entry("disable_synchronize_execution_providers", "1")
    binding = session.io_binding()
    binding.bind_input(INPUT, device, index, np.uint8, tuple(images.shape), images.data_ptr())
    binding.bind_output(session.get_outputs()[0].name, device, index)

    def work(steps: int, _: Tensor = images) -> None:  # the binding holds the images' address, not the images
        for _ in range(steps):
            session.run_with_iobinding(binding, settings)

    return work
