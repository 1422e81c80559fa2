import pytest
import torch
from torch import nn
from torch.nn import functional

from segtrain.models.networks.fcn_skips import FCN8s, FCN16s, FCN32s


def count(net_class, **arguments) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


@pytest.mark.parametrize(
    ("net_class", "copy", "upsamplings"), [(FCN32s, 15_307_219, 0), (FCN16s, 15_316_966, 1), (FCN8s, 15_321_849, 2)]
)
def test_parameters(net_class, copy, upsamplings):
    """Common copies (vgg16 without norms) have 15.307, 15.317 and 15.322 M: they do not learn to enlarge."""
    assert count(net_class, classes=19) == copy + upsamplings * 19 * 19 * 4 * 4


def test_parameters_of_the_paper():
    # 14,714,688 of VGG-16; fc6 512 x 4096 x 7 x 7 + 4096; fc7 4096 x 4096 + 4096; scores 4096 x 21 + 21
    assert count(FCN32s, classes=21, fc_channels=4096) == 134_346_581


@pytest.mark.parametrize("encoder", ["vgg11", "tu-vgg11"])
def test_skips_of_vgg_are_behind_its_poolings(encoder):
    torch.manual_seed(0)
    with torch.device("meta"):  # no time for the weights of a classifier that is not taken
        net = FCN8s(encoder)
    net.to_empty(device="cpu").eval()
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    pooled = []
    for module in net.encoder.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _, __, output: pooled.append(output))
    with torch.no_grad():
        logits = net(torch.rand(1, 3, 64, 96))
        assert [each.shape[1:] for each in pooled[2:4]] == [(256, 8, 12), (512, 4, 6)]
        at_16, at_8 = net.decoder.skips
        coarse = net.decoder.upsamplings[0](net.decoder.score(pooled[4])) + at_16(pooled[3])
        expected = net.decoder.upsamplings[1](coarse) + at_8(pooled[2])
    torch.testing.assert_close(logits, expected)


def test_scores_are_enlarged_bilinearly_and_unchanged_by_skips_to_begin_with():
    torch.manual_seed(0)
    net = FCN16s("tu-mobilenetv3_small_050", classes=2).eval()
    coarse = FCN32s("tu-mobilenetv3_small_050", classes=2).eval()
    coarse.encoder.load_state_dict(net.encoder.state_dict())
    coarse.decoder.score.load_state_dict(net.decoder.score.state_dict())
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        logits, scores = net(images), coarse(images)
    larger = functional.interpolate(scores, scale_factor=2, mode="bilinear", align_corners=False)
    assert scores.shape == (1, 2, 3, 4)
    torch.testing.assert_close(logits[..., 1:-1, 1:-1], larger[..., 1:-1, 1:-1])  # zeros are around a deconvolution
    torch.testing.assert_close(logits[..., ::5, ::7], scores[..., ::2, ::3] * 0.75 * 0.75)
