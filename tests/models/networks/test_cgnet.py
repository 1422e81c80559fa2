"""CGNet: its size, and what its blocks join."""

import torch
from torch.nn import functional

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.cgnet import CGNet, _ContextGuidedBlock


def test_its_size_is_that_of_the_paper() -> None:
    """496,306 is what the authors' code has; the paper counts 6.0 G operations at 640x360, two a multiply-add."""
    with torch.device("meta"):
        model = SegmentationModel(CGNet(classes=19), mean=[0.5] * 3, std=[0.5] * 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == 496_306
    assert round(2 * count_multiply_adds(model, (360, 640)) / 1e9, 1) == 5.9


def test_a_block_weighs_near_and_far_by_the_whole_image() -> None:
    block = _ContextGuidedBlock(4, 4, dilation=3, reduction=2).eval()
    with torch.no_grad():
        for conv, row, column in ((block.near, 1, 1), (block.far, 0, 2)):  # the pixel itself, and one up and right
            conv.weight.zero_()[..., row, column] = 1
        features = torch.randn(2, 4, 9, 9)
        reduced = block.reduce(features)
        up_right = functional.pad(reduced, (0, 3, 3, 0))[..., :9, 3:]
        joint = block.join(torch.cat([reduced, up_right], 1))
        weights = block.weigh[1:](joint.mean((2, 3), keepdim=True))
        torch.testing.assert_close(block(features), features + joint * weights)


def test_the_image_joins_in_at_a_half_and_a_quarter() -> None:
    net = CGNet(width=8, blocks=(2, 2)).eval()
    seen = []
    for join in (net.join1, net.join2):
        join.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, -3:]))
    half = torch.rand(1, 3, 8, 12)
    images = half.repeat_interleave(2, 2).repeat_interleave(2, 3)
    net(images)
    assert [tuple(each.shape[-2:]) for each in seen] == [(8, 12), (4, 6)]
    # Away from the border, a window of 3x3 around an even pixel has parts of four pixels of the half.
    expected = (4 * half[..., 2, 2] + 2 * half[..., 1, 2] + 2 * half[..., 2, 1] + half[..., 1, 1]) / 9
    torch.testing.assert_close(seen[0][..., 2, 2], expected)
