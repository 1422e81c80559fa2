"""Costs of a model: the multiply-adds of one image."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segtrain.models.model import SegmentationModel


def count_multiply_adds(model: SegmentationModel, size: tuple[int, int]) -> int:
    """Multiply-adds of convolutions, matrix products and attention for one image of `size` (H, W), padding included."""
    was_training = model.training
    images = torch.zeros(1, model.mean.shape[1], *size, device=model.mean.device)
    # Only plain attention is made of products that the counter knows on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.eval()(images)
    model.train(was_training)
    return counter.get_total_flops() // 2
