"""U-Net of the paper."""

from typing import Any

import pytest
import torch
from torch import nn

from segtrain.models.networks.vanilla_unet import VanillaUNet


def count(net_class: type[nn.Module], **arguments: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


def test_parameters() -> None:
    """As in the usual codes. Of them, the bilinear one with half of the widths has 13,395,329 with a bias for each of
    the 3,968 channels that BatchNorm follows, where it does nothing; VanillaUNet has none."""
    assert count(VanillaUNet) == 31_037_633
    assert count(VanillaUNet, bilinear=True) == 13_395_329 - 3_968


def test_receptive_field() -> None:
    """Of pixel 16, with two sizes: a pair of convolutions sees 14..18, on half of the size 7..9, of which another sees
    5..11. Pooling takes the largest of each window, the second in images that grow: 11, 13, .. 23, of which the first
    pair sees 9..25."""
    net = VanillaUNet(in_channels=1, width=4, depth=2).double().eval()
    for parameter in net.parameters():
        parameter.data.abs_()  # so that features grow too, and ReLU stops nothing
    side = torch.arange(1.0, 41, dtype=torch.float64)
    images = (side + side.unsqueeze(1)).view(1, 1, 40, 40).requires_grad_()
    net(images)[0, 0, 16, 16].backward()
    for axis in (0, 1):
        (seen,) = images.grad[0, 0].sum(axis).nonzero(as_tuple=True)
        assert seen.tolist() == [*range(9, 26)]


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("depth", [2, 3])
def test_every_size_is_joined_on_the_way_up(depth: int, bilinear: bool) -> None:
    torch.manual_seed(0)
    net = VanillaUNet(in_channels=1, width=4, depth=depth, bilinear=bilinear).eval()
    joined = [pair[0][0].in_channels for pair in net.up]
    assert joined == [2 * 4 * 2**level for level in reversed(range(depth - 1))]
    images = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        full = net(images)
        for enlarge in net.enlarge:
            handle = enlarge.register_forward_hook(lambda module, given, features: torch.zeros_like(features))
            without = net(images)  # what of the logits is from the skips of this size and the larger ones
            handle.remove()
            assert without.std() > 0 and not torch.allclose(without, full)


@pytest.mark.parametrize("in_channels", [1, 4, 12])
def test_channels(in_channels: int) -> None:
    net = VanillaUNet(in_channels=in_channels, classes=2, width=4, depth=3).eval()
    assert net.stride == 4
    with torch.no_grad():
        assert net(torch.zeros(1, in_channels, 4, 12)).shape == (1, 2, 4, 12)


def test_depth() -> None:
    with pytest.raises(ValueError, match=r"^depth is 1, but must be at least 2$"):
        VanillaUNet(depth=1)
