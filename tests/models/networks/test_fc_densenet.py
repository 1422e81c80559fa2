"""FC-DenseNet."""

import pytest
import torch
from torch import nn

from segtrain.models.networks.fc_densenet import FCDenseNet


@pytest.mark.parametrize(
    ("variant", "parameters", "paper"), [(56, 1_376_988, 1.4), (67, 3_463_532, 3.5), (103, 9_322_348, 9.4)]
)
def test_parameters(variant: int, parameters: int, paper: float) -> None:
    """Paper: 1.5, 3.5 and 9.4 M. Its code counts the means and variances of BatchNorm too, which explains 3.5 and 9.4,
    but makes 1.40 M of 56. Its names count convolutions, transposed ones too."""
    with torch.device("meta"):
        net = FCDenseNet(classes=12, variant=variant)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert round((parameters + sum(2 * norm.num_features for norm in norms)) / 1e6, 1) == paper
    assert sum(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in net.modules()) == variant


def test_a_layer_gets_what_all_before_it_gave() -> None:
    torch.manual_seed(0)
    block = FCDenseNet(variant=56, width=6, growth=2).bottom.eval()
    features = torch.randn(1, 6 + 5 * 4 * 2, 4, 4)
    stack = features
    with torch.no_grad():
        for layer in block.layers:
            stack = torch.cat([stack, layer(stack.clone())], 1)
        assert torch.equal(block(features), stack[:, features.shape[1] :])


def test_enlarged_features_lie_on_their_skip() -> None:
    """Kernels of 3 with stride 2 spread a pixel over three, the first of which is its own."""
    net = FCDenseNet(variant=56, width=2, growth=1)
    enlarge = net.enlarge[0]
    nn.init.ones_(enlarge.weight)
    seen = []
    net.up[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    net.bottom.register_forward_hook(
        lambda module, given, new: torch.zeros_like(new).index_fill(3, torch.tensor([1]), 1)
    )
    net.eval()(torch.zeros(1, 3, 32, 96))
    assert (seen[0][0, 0, 0] > 0).tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize("in_channels", [1, 4, 12])
def test_channels(in_channels: int) -> None:
    net = FCDenseNet(in_channels=in_channels, classes=2, width=4, growth=2, layers=[1, 2, 3]).eval()
    assert net.stride == 4
    with torch.no_grad():
        assert net(torch.zeros(1, in_channels, 4, 12)).shape == (1, 2, 4, 12)


def test_variant() -> None:
    with pytest.raises(ValueError, match=r"^variant is 57, but must be one of 56, 67, 103$"):
        FCDenseNet(variant=57)
