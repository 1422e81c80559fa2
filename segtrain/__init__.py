"""segtrain: YAML experiments around segmentation-models-pytorch, timm, albumentations and torch."""

import os

# albumentations asks a server for its newest version when it is imported, and warns where it gets no answer.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
