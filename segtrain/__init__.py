"""segtrain: YAML experiments around segmentation-models-pytorch, timm, albumentations and torch."""

import os
import sys
from types import ModuleType

# albumentations asks a server for its newest version when it is imported, and warns where it gets no answer.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if sys.flags.optimize > 1:  # smp's metrics, which nothing here takes, add to docstrings that -OO has removed
    _metrics = "segmentation_models_pytorch.metrics"
    sys.modules.setdefault(_metrics, ModuleType(_metrics))

__version__ = "0.1.0"
