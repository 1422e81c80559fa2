"""DANet: its size, and both attentions against loops."""

import torch
from torch import nn

from segtrain.models.networks.danet import DANet, _ChannelAttention, _PositionAttention


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_size() -> None:
    """47.443 M, the authors' head on torchvision's ResNet-50, is with the classifier of the sum alone."""
    with torch.device("meta"):
        net = DANet(classes=19)
    assert count(net.aux) == 2 * (512 * 19 + 19)
    assert count(net) - count(net.aux) == 47_443_157


def test_position_attention_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    attention, features = _PositionAttention(16), torch.randn(2, 16, 2, 3)
    torch.testing.assert_close(attention(features), features, rtol=0, atol=0)
    attention.gamma.data.fill_(0.5)
    query, key, value = (layer(features).flatten(2) for layer in (attention.query, attention.key, attention.value))
    expected = features.flatten(2).clone()
    for image in range(2):
        for here in range(6):
            scores = torch.stack([query[image, :, here] @ key[image, :, there] for there in range(6)])
            for there, weight in enumerate(scores.softmax(0)):
                expected[image, :, here] += 0.5 * weight * value[image, :, there]
    torch.testing.assert_close(attention(features), expected.unflatten(2, (2, 3)))


def test_channel_attention_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    attention, features = _ChannelAttention(), torch.randn(2, 4, 2, 3)
    torch.testing.assert_close(attention(features), features, rtol=0, atol=0)
    attention.gamma.data.fill_(0.5)
    flat = features.flatten(2)
    expected = flat.clone()
    for image in range(2):
        for channel in range(4):
            scores = torch.stack([flat[image, channel] @ flat[image, other] for other in range(4)])
            for other, weight in enumerate((scores.max() - scores).softmax(0)):
                expected[image, channel] += 0.5 * weight * flat[image, other]
    torch.testing.assert_close(attention(features), expected.unflatten(2, (2, 3)))


def test_channel_attention_does_not_overflow_in_half_precision() -> None:
    """The sum of 10,000 products of 3 and 3 is 90,000; a half ends at 65,504."""
    attention = _ChannelAttention()
    attention.gamma.data.fill_(1.0)
    features = torch.cat([torch.full((1, 1, 100, 100), 3.0), torch.full((1, 1, 100, 100), 4.0)], 1)
    expected = torch.cat([features[:, :1] + 3, features[:, 1:] + 3], 1)  # both are less like the first
    assert torch.equal(attention.half()(features.half()), expected.half())


def test_branches_are_auxiliary_outputs() -> None:
    net = DANet("resnet18", classes=5, decoder_channels=8)
    images = torch.randn(2, 3, 32, 32)
    assert [output.shape for output in net(images)] == [(2, 5, 4, 4)] * 3
    assert net.eval()(images).shape == (2, 5, 4, 4)
    net.aux = None
    assert net.train()(images).shape == (2, 5, 4, 4)
