"""SegNet and SegResNet."""

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.segnet import SegNet, SegResNet


def count(net_class: type[nn.Module], **arguments: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


def kernels(module: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of the weights of its convolutions, in their order."""
    return [tuple(each.weight.shape) for each in module.modules() if isinstance(each, nn.Conv2d)]


def test_parameters() -> None:
    """Paper: 29.45 M. That is 29,454,548 with 20 classes and a bias for each of the 7,936 channels that BatchNorm
    follows, where it does nothing; SegNet here has none. SegResNet has those of its usual code."""
    assert count(SegNet, classes=20) == 29_454_548 - 7_936
    assert count(SegResNet, classes=20) == 53_563_732


def test_segnet_is_vgg16_there_and_back() -> None:
    with torch.device("meta"):
        net, vgg = SegNet(classes=7), torchvision.models.vgg16_bn()
    assert kernels(net.down) == kernels(vgg.features)
    back = [(inputs, outputs, *side) for outputs, inputs, *side in reversed(kernels(net.down)[1:])]
    assert kernels(net.up) == back
    assert kernels(net.classify) == [(7, 64, 3, 3)]


def test_segnet_undoes_each_pooling_at_its_own_positions() -> None:
    torch.manual_seed(0)
    net = SegNet(classes=2, width=4).eval()
    images = torch.randn(1, 3, 64, 32)

    def by_torch(features: Tensor) -> Tensor:
        indices = []
        for stage in net.down:
            features, largest = functional.max_pool2d(stage(features), 2, return_indices=True)
            indices.append(largest)
        for stage, largest in zip(net.up, reversed(indices), strict=True):
            features = stage(functional.max_unpool2d(features, largest, 2))
        return net.classify(features)

    with torch.no_grad():
        torch.testing.assert_close(net(images), by_torch(images))


def test_segresnet_is_a_resnet50_on_the_way_down() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        net = SegResNet()
    resnet = torchvision.models.resnet50().eval()
    stages = nn.Sequential(resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)
    weights = dict(zip(net.down.state_dict(), stages.state_dict().values(), strict=True))
    net.down.load_state_dict(weights, assign=True)
    features = torch.randn(1, 64, 16, 24)
    with torch.no_grad():
        assert torch.equal(net.eval().down(features), stages(features))


@pytest.mark.parametrize("net_class", [SegNet, SegResNet])
@pytest.mark.parametrize("in_channels", [1, 4, 12])
def test_channels(net_class: type[nn.Module], in_channels: int) -> None:
    net = net_class(in_channels=in_channels, classes=2, width=4).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, in_channels, 32, 64)).shape == (1, 2, 32, 64)
