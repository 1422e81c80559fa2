"""ENet."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from segtrain.models.networks.enet import ENet


def test_parameters() -> None:
    """Paper: 0.37 M, which is what the authors' code has with 20 classes where the means and variances of BatchNorm are
    counted too: 372,728. Without them and with 12 classes it has 363,856: of these, 13 in the first convolution
    and 680 in those between projections are biases that BatchNorm makes idle; its decoder lacks 336 slopes."""
    with torch.device("meta"):
        net = ENet(classes=12)
    middles = 4 * 16 + 16 + 32 * 17 + 3 * 16 + 2 * 4
    slopes = 3 * (16 + 16 + 64) + 2 * (4 + 4 + 16)
    assert sum(parameter.numel() for parameter in net.parameters()) == 363_856 - 13 - middles + slopes


def test_stages() -> None:
    """Sides and dilations of the convolutions of the paper's table."""
    with torch.device("meta"):
        net = ENet()
    middles = [
        [(*layer.kernel_size, *layer.dilation) for layer in block.branch[1].modules() if isinstance(layer, nn.Conv2d)]
        for block in net.stages2and3
    ]
    plain, twice, four, eight, sixteen = ([(3, 3, rate, rate)] for rate in (1, 2, 4, 8, 16))
    asymmetric = [(5, 1, 1, 1), (1, 5, 1, 1)]
    assert middles == 2 * [plain, twice, asymmetric, four, plain, eight, asymmetric, sixteen]
    dropout = [module.p for module in net.modules() if isinstance(module, nn.Dropout2d)]
    assert dropout == [0.01] * 5 + [0.1] * 22


def test_shortcuts() -> None:
    """With branches that give zeros: what is left is pooled, gets zeros for new channels, and is unpooled."""
    torch.manual_seed(0)
    net = ENet().eval()
    for block in (net.shrink1, net.enlarge5):
        nn.init.zeros_(block.branch[4][1].weight)
    features, narrow = torch.randn(1, 16, 8, 6), torch.randn(1, 64, 4, 3)
    with torch.no_grad():
        shrunk, positions = net.shrink1(features)
        enlarged = net.enlarge5(narrow, positions)
        largest, indices = functional.max_pool2d(features, 2, return_indices=True)
        unpooled = functional.max_unpool2d(net.enlarge5.shortcut(narrow), indices, 2)
    slopes = torch.tensor([0.25])  # of a new PReLU
    assert torch.equal(shrunk[:, :16], functional.prelu(largest, slopes))
    assert not shrunk[:, 16:].any()
    assert torch.equal(enlarged, functional.prelu(unpooled, slopes))


@pytest.mark.parametrize("in_channels", [1, 4, 12, 51])
def test_channels(in_channels: int) -> None:
    net = ENet(in_channels=in_channels, classes=2).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, in_channels, 8, 16)).shape == (1, 2, 8, 16)


def test_too_many_channels() -> None:
    with pytest.raises(ValueError, match=r"^in_channels is 52, but must be at most 51$"):
        ENet(in_channels=52)
