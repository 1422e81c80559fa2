"""Losses that count ignored pixels nowhere and compute in float32. A class that is named here can be written in
`loss:`; behind it come those of smp and torch.nn."""

from segtrain.losses.lovasz import LovaszLoss
from segtrain.losses.neighbours import BoundaryLoss, RMILoss
from segtrain.losses.pixel import BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss
from segtrain.losses.region import CLDiceLoss, DiceLoss, FocalTverskyLoss, JaccardLoss, MCCLoss, TverskyLoss

__all__ = [
    "BCEWithLogitsLoss",
    "BoundaryLoss",
    "CLDiceLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "JaccardLoss",
    "LovaszLoss",
    "MCCLoss",
    "RMILoss",
    "TverskyLoss",
]
