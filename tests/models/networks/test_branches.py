import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.branches import DAPPM, PAPPM, residual_blocks


def pooled(features: Tensor) -> list[Tensor]:
    """The features themselves, and their pools at the same size."""
    pools = [functional.avg_pool2d(features, side, stride, side // 2) for side, stride in ((5, 2), (9, 4), (17, 8))]
    pools.append(features.mean((2, 3), keepdim=True))
    return [features, *(functional.interpolate(each, features.shape[-2:], mode="bilinear") for each in pools)]


@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
@pytest.mark.parametrize(("pool", "is_deep"), [(DAPPM, True), (PAPPM, False)])
def test_pools_are_added_one_after_the_other_or_each_to_the_features(pool, is_deep, size):
    # One channel, and convolutions that do nothing, so that a level is what the pools give.
    module = pool(1, 1, 1).eval()
    for conv in [each for each in module.modules() if isinstance(each, nn.Conv2d)]:
        nn.init.zeros_(conv.weight)
        middle = conv.kernel_size[0] // 2
        conv.weight.data[:, 0, middle, middle] = 1
    nn.init.zeros_(module.shortcut[2].weight)
    features = torch.rand(2, 1, *size)
    finest, *coarser = pooled(features)
    expected = finest.clone()
    for index, level in enumerate(coarser, 1):
        expected = level + (expected if is_deep else finest)
        nn.init.zeros_(module.compression[2].weight)
        module.compression[2].weight.data[0, index] = 1
        torch.testing.assert_close(module(features), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_last_block_ends_without_relu(bottleneck):
    blocks = residual_blocks(4, 4, 3, stride=2, bottleneck=bottleneck)
    made = blocks(torch.randn(2, 4, 8, 8))
    assert made.shape == (2, 8 if bottleneck else 4, 4, 4) and made.min() < 0
    assert [isinstance(block.activation, nn.ReLU) for block in blocks] == [not bottleneck, not bottleneck, False]
