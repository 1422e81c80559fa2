"""DenseASPP: its size, and how far its convolutions see."""

import torch

from segtrain.models.networks.denseaspp import DenseASPP


def test_size() -> None:
    """8,280,851 is the count of the authors' network on DenseNet-121, by their layers: the encoder's 6,953,856 and a
    head of 1,326,995. Five convolutions of 128 channels in front of a norm have a bias there, and none here.

    10.22 M, a common copy's, is that of another head (9,196,051 with the encoder: 256 channels where the authors have
    128, and no halving of the encoder's 1024) and of ImageNet's classifier, 1,025,000, which is never used.
    """
    with torch.device("meta"):
        net = DenseASPP("densenet121", classes=19, encoder_output_stride=32)
    assert sum(parameter.numel() for parameter in net.encoder.parameters()) == 6_953_856
    assert sum(parameter.numel() for parameter in net.decoder.parameters()) == 1_326_995 - 5 * 128


def test_each_convolution_sees_all_before_it() -> None:
    """One behind the other, the five reach 3 + 6 + 12 + 18 + 24 = 63 pixels to every side, and every one in between,
    as the sums of the five rates fill the scale."""
    torch.manual_seed(0)
    decoder = DenseASPP("resnet18", decoder_channels=8, growth=8).decoder.double().eval()
    features = torch.rand(1, 512, 1, 131, dtype=torch.float64, requires_grad=True)
    decoder(features)[0, 0, 0, 65].backward()
    seen = features.grad.abs().sum((0, 1, 2)).nonzero().squeeze(1) - 65
    rates = [3, 6, 12, 18, 24]
    reachable = {0}
    for rate in rates:
        reachable |= {here + step for here in reachable for step in (-rate, rate)}
    assert seen.tolist() == sorted(reachable)
    assert max(reachable) == 63


def test_the_layers_are_those_of_the_formula() -> None:
    """Channels: half the encoder's, and 8 more behind each convolution, of which the first has no norm."""
    decoder = DenseASPP("resnet18", classes=5, decoder_channels=16, growth=8, decoder_atrous_rates=(3, 6)).decoder
    first, second = decoder[3].layers, decoder[4].layers
    assert isinstance(first[0], torch.nn.Identity) and second[0].num_features == 256 + 8
    assert [layers[2].in_channels for layers in (first, second)] == [256, 264]
    assert [layers[5].dilation for layers in (first, second)] == [(3, 3), (6, 6)]
    assert decoder[-1].in_channels == 272
