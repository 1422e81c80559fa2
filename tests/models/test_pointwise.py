import pytest
import torch
from torch import nn

from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model
from segtrain.models.pointwise import subsample_first


@pytest.mark.parametrize("stride", [2, (1, 2), 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_values_are_those_of_the_convolution(stride, layout) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 24, 1, stride)
    other = nn.Sequential(nn.Conv2d(8, 24, 1, stride))
    other[0].load_state_dict(plain.state_dict())
    subsample_first(other.to(memory_format=layout))
    assert type(other[0]) is not nn.Conv2d
    images = torch.randn(2, 8, 33, 47)
    expected, given = plain(images), other(images.contiguous(memory_format=layout))
    torch.testing.assert_close(given, expected)
    for outputs in (expected, given):
        outputs.square().mean().backward()
    torch.testing.assert_close(other[0].weight.grad, plain.weight.grad)
    torch.testing.assert_close(other[0].bias.grad, plain.bias.grad)


def test_it_is_done_in_training_where_it_is_needed() -> None:
    def kinds(*, training: bool) -> dict[str, type]:
        config = ModelConfig(encoder_name="mobileone_s0", encoder_weights=None)
        model = build_model(config, channels=3, outputs=2, training=training)
        return {name: type(module) for name, module in model.named_modules()}

    plain, changed = kinds(training=False), kinds(training=True)
    assert [name for name, kind in plain.items() if changed[name] is not kind] == ["net.encoder.stage0.rbr_scale.conv"]


def test_other_convolutions_are_left_alone() -> None:
    others = [nn.Conv2d(8, 8, 3, 2), nn.Conv2d(16, 8, 1, 2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, 2, groups=8)]
    net = nn.Sequential(*others, nn.Conv2d(8, 8, 1, 2, padding=1), nn.ConvTranspose2d(8, 8, 1, 2))
    subsample_first(net)
    assert {type(module) for module in net} == {nn.Conv2d, nn.ConvTranspose2d}
