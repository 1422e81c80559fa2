"""Two small encoders, one of smp and one of timm, and their state dicts."""

import segmentation_models_pytorch as smp
import torch

SMP, TIMM = "mobilenet_v2", "mobilenetv3_small_050"
FIRST = "features.0.0.weight"


def encoder_of(name: str, channels: int = 3):
    return smp.encoders.get_encoder(name, in_channels=channels, weights=None)


def equal(state: dict, other: dict) -> bool:
    return state.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in state.items())
