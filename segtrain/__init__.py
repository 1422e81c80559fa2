"""segtrain: YAML experiments around segmentation-models-pytorch, timm, albumentations and torch.

From Python: train, load, evaluate, check, read_record, and SegtrainError, which they raise; docs/reference/python.md
shows them.
"""

import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

# albumentations asks a server for its newest version when it is imported, and warns where it gets no answer.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# Libraries that ask tqdm for the bar of notebooks, which needs ipywidgets, without showing one.
warnings.filterwarnings("ignore", message="IProgress not found")

if sys.flags.optimize > 1:  # smp's metrics, which nothing here takes, add to docstrings that -OO has removed
    _metrics = "segmentation_models_pytorch.metrics"
    sys.modules.setdefault(_metrics, ModuleType(_metrics))

__version__ = "0.1.0"

# name -> the module that has it, which is imported when it is first asked for: some take seconds
_MODULES = {
    "SegtrainError": "segtrain.errors",
    "check": "segtrain.api",
    "evaluate": "segtrain.api",
    "load": "segtrain.api",
    "read_record": "segtrain.log.record",
    "train": "segtrain.api",
}
__all__ = ["SegtrainError", "check", "evaluate", "load", "read_record", "train"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'segtrain' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
