"""segtrain: YAML experiments around segmentation-models-pytorch, timm, albumentations and torch."""

__version__ = "0.1.0"
