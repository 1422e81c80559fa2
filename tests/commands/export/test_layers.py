import pytest
import torch
from timm.layers import AvgPool2dSame, Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import nn

from segtrain.commands.export.layers import MatrixPool, replace_pools, replace_same_padding


@pytest.mark.parametrize("size", [(6, 6), (7, 5), (12, 3), (1, 1), (13, 29)])
@pytest.mark.parametrize("cells", [(1, 1), (2, 2), (3, 3), (6, 6), (2, 5)])
def test_it_is_the_layer_of_torch(size, cells):
    features = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(MatrixPool(cells)(features), nn.AdaptiveAvgPool2d(cells)(features))


def test_by_hand():
    row = torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]])  # cells of 3: pixels 0..1, 1..3, 3..4
    assert MatrixPool((1, 3))(row).flatten().tolist() == [1.5, 3.0, 4.5]


def test_all_but_the_mean_of_everything_is_replaced():
    net = nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.AdaptiveAvgPool2d(1)), nn.AdaptiveAvgPool2d((1, 2)))
    replace_pools(net)
    assert [type(layer) for layer in net[0]] == [MatrixPool, nn.AdaptiveAvgPool2d]
    assert net[0][0].output_size == (3, 3) and net[1].output_size == (1, 2)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2dSame(4, 6, 3, stride=2),
        Conv2dSame(4, 6, 5, stride=2, bias=False),
        Conv2dSame(4, 4, 3, stride=2, groups=4),
        Conv2dSame(4, 6, 2, stride=1, dilation=2),
        Conv2dSame(4, 6, 1, stride=2),
        Conv2dSame(4, 6, (3, 5), stride=(2, 1)),
        MaxPool2dSame(3, stride=2),
        AvgPool2dSame(2, stride=1),
    ],
    ids=str,
)
def test_same_padding_is_fixed(layer):
    net = nn.Sequential(nn.Sequential(layer))
    features = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0)) - 2
    expected = net(features)
    replace_same_padding(net)
    assert type(net[0][0]) is nn.Sequential and not [part for part in net.modules() if type(part) is type(layer)]
    assert torch.equal(net(features), expected)
