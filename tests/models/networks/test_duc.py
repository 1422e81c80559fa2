import pytest
import torch
from torch import nn

from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model
from segtrain.models.networks.duc import DUC, HYBRID_RATES

SMALL = {"classes": 2, "decoder_atrous_rates": (1, 2)}


def test_number_of_parameters() -> None:
    """Of the paper: a resnet101 of 42.5 M, and four 3x3 convolutions of 2048 to 19 x 8 x 8 channels.

    One such convolution has 22.4 M: common copies with it alone have 64.9 M. With another to 512 channels before it
    there are 38.551 M on a resnet50. A copy of 69.184 M is a DeepLabV3+ with pixel shuffles.
    """
    with torch.device("meta"):
        net = DUC("resnet101", classes=19)
        assert sum(parameter.numel() for parameter in net.parameters()) == 132_158_272
    convolution = 2048 * 19 * 64 * 9 + 19 * 64
    assert 42_500_160 + 4 * convolution == 132_158_272
    reduced = 2048 * 512 * 9 + 2 * 512 + 512 * 19 * 64 * 9 + 19 * 64
    assert 23_508_032 + reduced == 38_550_784


def rates_of(stage: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(conv.dilation[0] for conv in each.modules() if is_spatial(conv)) for each in stage]


def is_spatial(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)


@pytest.mark.parametrize("encoder", ["resnet50", "tu-resnet50"])
def test_rates_of_blocks_are_those_of_the_paper(encoder: str) -> None:
    with torch.device("meta"):
        stages = DUC(encoder, **SMALL).encoder
    stages = getattr(stages, "model", stages)
    assert rates_of(stages.layer3) == [(1,), (2,), (5,), (9,), (1,), (2,)]
    assert rates_of(stages.layer4) == [(5,), (9,), (17,)]
    assert all(conv.padding == conv.dilation for conv in stages.layer4.modules() if is_spatial(conv))


def test_rates_stay_in_a_model() -> None:
    def build(**arguments: object) -> nn.Module:
        config = ModelConfig(name="DUC", encoder_name="resnet18", decoder_atrous_rates=[1], **arguments)
        return build_model(config, channels=3, outputs=2).net.encoder

    assert rates_of(build().layer4) == [(5, 5), (9, 9)]
    # What a strided stage saw of the one before it stays near.
    assert rates_of(build(hybrid_dilation=False).layer4) == [(2, 4), (4, 4)]


@pytest.mark.parametrize("stage", HYBRID_RATES)
def test_rates_in_turn_leave_no_gaps(stage: str) -> None:
    def reached(rates: tuple[int, ...]) -> set[int]:
        offsets = {0}
        for rate in rates:
            offsets = {offset + step for offset in offsets for step in (-rate, 0, rate)}
        return offsets

    before = reached(HYBRID_RATES["layer3"]) if stage == "layer4" else {0}
    offsets = {first + second for first in before for second in reached(HYBRID_RATES[stage])}
    assert offsets == set(range(-max(offsets), max(offsets) + 1))
    assert reached((2, 2, 2, 2)) == set(range(-8, 9, 2))  # gridding


def test_pixels_of_a_cell_are_channels_and_begin_equal() -> None:
    torch.manual_seed(0)
    net = DUC("tu-resnet10t", **SMALL).eval()
    images = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        logits = net(images)
        assert logits.shape == (1, 2, 32, 64) and logits.std() > 0
        cells = logits.unfold(2, 8, 8).unfold(3, 8, 8)
        torch.testing.assert_close(cells, cells[..., :1, :1].expand_as(cells))
        for parameter in net.decoder.parameters():
            nn.init.normal_(parameter)
        logits, features = net(images), net.encoder(images)[-1]
        maps = sum(conv(features) for conv in net.decoder.convolutions)
    for row, column in ((0, 0), (13, 42), (31, 63)):
        channel = row % 8 * 8 + column % 8
        torch.testing.assert_close(logits[0, :, row, column], maps[0, channel::64, row // 8, column // 8])


def test_an_encoder_without_stages_of_blocks_has_plain_dilation_or_none() -> None:
    message = (
        "hybrid dilation needs a ResNet, and tu-mobilenetv3_small_050 is not one; write model.hybrid_dilation: false"
    )
    with pytest.raises(ValueError) as error:
        DUC("tu-mobilenetv3_small_050", **SMALL)
    assert str(error.value) == message
    with torch.device("meta"):
        DUC("tu-mobilenetv3_small_050", **SMALL, hybrid_dilation=False)
        DUC("vgg11", **SMALL, encoder_output_stride=32)
