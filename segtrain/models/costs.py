"""Costs of a model: its parameters, and the multiply-adds of one image."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segtrain.models.model import SegmentationModel, is_auxiliary


def count_multiply_adds(model: SegmentationModel, size: tuple[int, int]) -> int:
    """Multiply-adds of convolutions, matrix products and attention for one image of `size` (H, W), padding included."""
    was_training = model.training
    images = torch.zeros(1, model.mean.shape[1], *size, device=model.mean.device)
    # Only plain attention is made of products that the counter knows on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(images)
    model.train(was_training)
    return counter.get_total_flops() // 2


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Number of parameters without auxiliary outputs, and of those that are trained."""
    parameters = [parameter for name, parameter in model.named_parameters() if not is_auxiliary(name)]
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return sum(parameter.numel() for parameter in parameters), trained


def describe_parameters(model: nn.Module) -> str:
    """Number of parameters without auxiliary outputs, and of those that are trained where they differ."""
    total, trained = count_parameters(model)
    return f"{_millions(total)} parameters" + (f", {_millions(trained)} of them trained" if trained < total else "")


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 100_000 else f"{number:,}"
