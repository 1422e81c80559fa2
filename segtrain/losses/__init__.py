"""Losses that count ignored pixels nowhere and compute in float32. A class that is named here can be written in
`loss:`; behind it come those of smp and torch.nn. A module is imported where one of its losses is asked for."""

import importlib
from typing import Any

LOSSES = {
    "BCEWithLogitsLoss": "pixel",
    "BoundaryLoss": "neighbors",
    "CLDiceLoss": "region",
    "CrossEntropyLoss": "pixel",
    "DetailLoss": "edges",
    "DiceLoss": "region",
    "EdgeLoss": "edges",
    "FocalLoss": "pixel",
    "FocalTverskyLoss": "region",
    "JaccardLoss": "region",
    "LovaszLoss": "lovasz",
    "MCCLoss": "region",
    "MaskMatchingLoss": "matching",
    "RMILoss": "neighbors",
    "SELoss": "presence",
    "TverskyLoss": "region",
}
__all__ = list(LOSSES)


def __getattr__(name: str) -> Any:
    if name not in LOSSES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{LOSSES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
