"""What speed depends on beside the code: the device, its driver, versions."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from segtrain.memory import count_cores

PACKAGES = ("timm", "segmentation-models-pytorch", "albumentations", "onnxruntime", "onnxruntime-gpu", "tensorrt")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The device and the versions; None for what is not there."""
    on_gpu = device.type == "cuda"
    return {
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "driver": find_driver() if on_gpu else None,
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "python": platform.python_version(),
        "cores": count_cores(),
        **{package: find_version(package) for package in PACKAGES},
    }


def find_version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_driver() -> str | None:
    """The version of NVIDIA's driver, as nvidia-smi tells it of the first GPU."""
    if shutil.which("nvidia-smi") is None:
        return None
    question = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(question, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.partition("\n")[0].strip() or None
