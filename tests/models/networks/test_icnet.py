import pytest
import torch
from torch import nn

from segtrain.models.networks.blocks import build_encoder
from segtrain.models.networks.icnet import ICNet, _view_eighth


def test_number_of_parameters() -> None:
    """24.588 M: a resnet50 and 1.08 M. Common copies have 28.3 M: they fuse 2048 channels with a 3x3 convolution, where
    the authors first reduce them to 256 (-1.6 M), and count a deep stem (0.1 M) and the classifier of ImageNet (2.0 M).
    """
    with torch.device("meta"):
        net = ICNet("resnet50", classes=19)
    assert sum(parameter.numel() for parameter in net.parameters()) == 24_588_505
    assert sum(parameter.numel() for parameter in net.encoder.parameters()) == 23_508_032
    copies = 24_588_505 - 2048 * 256 - 512 + (2048 - 256) * 128 * 9 + 123_776 + 2_049_000
    assert round(copies / 1e6, 1) == 28.3


@pytest.mark.parametrize("encoder_name", ["resnet18", "tu-resnet10t", "tu-mobilenetv3_small_050", "tu-convnext_atto"])
def test_the_first_stages_are_those_of_the_encoder(encoder_name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(encoder_name, None, 3).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        view = _view_eighth(encoder)
        torch.testing.assert_close(view(images)[3], encoder(images)[3])
        assert len(encoder(images)) == 6  # which is still whole


@pytest.mark.parametrize("encoder_name", ["resnet18", "tu-resnet10t"])
def test_late_stages_see_a_quarter_of_the_size_alone(encoder_name: str) -> None:
    net = ICNet(encoder_name, classes=5, decoder_channels=8).eval()
    stages, seen = getattr(net.encoder, "model", net.encoder), []
    for stage in (stages.layer2, stages.layer4):
        stage.register_forward_hook(lambda stage, images, features: seen.append((stage, features.shape[-1])))
    net(torch.randn(1, 3, 64, 128))
    assert seen == [(stages.layer2, 8), (stages.layer2, 4), (stages.layer4, 4)]  # the last one is dilated


def test_auxiliary_logits_are_at_a_sixteenth_and_an_eighth() -> None:
    net = ICNet("tu-mobilenetv3_small_050", classes=5, decoder_channels=8)
    images = torch.randn(2, 3, 64, 96)
    assert [logits.shape[-2:] for logits in net(images)] == [(16, 24), (4, 6), (8, 12)]
    net.aux = None
    assert net(images).shape == (2, 5, 16, 24)
    with torch.device("meta"):
        assert ICNet("vgg11", encoder_output_stride=32).stride == 128


def test_fusion_adds_enlarged_features() -> None:
    torch.manual_seed(0)
    fusion = ICNet("tu-mobilenetv3_small_050", decoder_channels=8).decoder["fuse8"].eval()
    small, large = torch.randn(1, 8, 3, 4), torch.randn(1, 64, 6, 8)
    fused, larger = fusion(small, large)
    torch.testing.assert_close(larger, nn.Upsample(scale_factor=2, mode="bilinear")(small))
    torch.testing.assert_close(fused, (fusion.small(larger) + fusion.large(large)).clamp_min(0))
    assert fusion.small[0].dilation == (2, 2)
