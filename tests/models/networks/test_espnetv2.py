"""ESPNetv2: its size and cost, and what its units join."""

import pytest
import torch

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.espnetv2 import ESPNetv2, _pool_tenth, _Pyramid, _PyramidPooling


def test_windows_of_ten_at_the_border() -> None:
    features = torch.rand(2, 3, 23, 8)
    expected = torch.nn.functional.avg_pool2d(features, 10, ceil_mode=True)
    torch.testing.assert_close(_pool_tenth(features), expected)


@pytest.mark.parametrize(("classes", "size", "millions"), [(20, (512, 1024), 2699.05), (21, (384, 384), 759.52)])
def test_its_cost_is_that_of_the_authors_table(classes: int, size: tuple[int, int], millions: float) -> None:
    """EdgeNets has a scale of 2.0 with 0.79 million parameters, Cityscapes with 20 classes and VOC with 21; it counts
    the bias of the last convolution as half a multiply-add. A count of 2,163,324 is that of a copy of the earlier
    decoder at a scale of 1.0: 1.52 million of it are the unused layers of ImageNet's classes."""
    with torch.device("meta"):
        model = SegmentationModel(ESPNetv2(classes=classes), mean=[0.5] * 3, std=[0.5] * 3)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == 0.79
    bias = classes * size[0] * size[1] // 4
    assert (count_multiply_adds(model, size) + bias / 2) / 1e6 == pytest.approx(millions, abs=0.01)


def test_each_dilation_is_added_to_the_smaller_ones() -> None:
    unit = _Pyramid(16, 16, dilations=(1, 2, 3, 4)).eval()
    features = torch.randn(1, 16, 11, 11)
    with torch.no_grad():
        branches = [branch(unit.reduce(features)) for branch in unit.branches]
        fused = torch.cat([sum(branches[: count + 1]) for count in range(4)], 1)
        torch.testing.assert_close(unit(features), unit.activation(features + unit.expand(fused)))
    assert [branch.dilation for branch in unit.branches] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_the_scales_of_a_channel_are_merged_with_each_other() -> None:
    pooling = _PyramidPooling(8, 4, 6, bias=True).eval()
    seen = []
    pooling.merge.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for conv in pooling.convs:  # the pixel itself
            conv.weight.zero_()[..., 1, 1] = 1
        features = pooling.project(torch.randn(1, 8, 1, 1).expand(1, 8, 12, 20))
        pooling(torch.randn(1, 8, 12, 20))
        assert seen.pop().shape == (1, 20, 12, 20)
        pooling.project = torch.nn.Identity()
        pooling(features)
    torch.testing.assert_close(seen[0], features.repeat_interleave(5, 1))


def test_the_image_reinforces_every_level() -> None:
    net = ESPNetv2(scale=0.5, blocks=(1, 1)).eval()
    sizes = []
    for halve in net.halve:
        halve.reinforce.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[1:])))
    net(torch.rand(1, 3, 32, 48))
    assert sizes == [(3, 8, 12), (3, 4, 6), (3, 2, 3)]
