"""Pooling that remembers positions, and its inverse."""

import pytest
import torch
from torch.nn import functional

from segtrain.models.networks.unpooling import max_pool, max_unpool


def test_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0, 5.0, 5.0], [4.0, 3.0, 5.0, 0.0]]]])
    largest, positions = max_pool(features)
    assert largest.tolist() == [[[[4.0, 5.0]]]]
    assert positions.tolist() == [[[[2, 0]]]]
    assert max_unpool(largest * 10, positions).tolist() == [[[[0.0, 0.0, 50.0, 0.0], [40.0, 0.0, 0.0, 0.0]]]]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equal_to_torch(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    """With their gradients; many windows have several largest values, some nothing but zeros."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randint(-4, 3, (2, 3, 8, 12), generator=generator).clamp(min=0).to(dtype)
    weights = torch.randn(features.shape, generator=generator).to(dtype)
    results = []
    for is_torch in (True, False):
        leaf = features.clone(memory_format=memory_format).requires_grad_()
        if is_torch:
            largest, indices = functional.max_pool2d(leaf, 2, return_indices=True)
            unpooled = functional.max_unpool2d(largest * 3, indices, 2)
        else:
            largest, positions = max_pool(leaf)
            unpooled = max_unpool(largest * 3, positions)
        (unpooled * weights).sum().backward()
        results.append((largest, unpooled, leaf.grad))
    for expected, given in zip(*results, strict=True):
        assert given.dtype == dtype and torch.equal(given, expected)
