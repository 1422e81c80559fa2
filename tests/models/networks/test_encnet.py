import torch
from torch import nn

from segtrain.config.schema import ModelConfig
from segtrain.models.model import build_model
from segtrain.models.networks.encnet import EncNet
from segtrain.models.networks.encoding import _Encoding


def count(encoder_name: str) -> int:
    with torch.device("meta"):
        net = EncNet(encoder_name, classes=19)
        return sum(parameter.numel() for parameter in net.parameters())


def test_number_of_parameters() -> None:
    """33.508 M: a resnet50, the head, and the SE branch.

    Common copies have 35.681 M: their deep stem is that of timm's resnet50s, and the classifier of ImageNet (2048 x
    1000 + 1000) stays in their encoder and is not used.
    """
    assert count("resnet50") == 33_508_038
    assert count("tu-resnet50s") + 2_049_000 == 35_680_814


def test_the_encoding_is_the_mean_of_weighed_residuals() -> None:
    torch.manual_seed(0)
    encoding = _Encoding(3, 4)
    features = torch.randn(2, 3, 2, 3)
    expected = torch.zeros(2, 4, 3)
    for image, pixels in enumerate(features.flatten(2).transpose(1, 2)):
        for pixel in pixels:
            residuals = pixel - encoding.codewords
            weights = (-encoding.smoothing * residuals.square().sum(1)).exp()
            expected[image] += (weights / weights.sum())[:, None] * residuals / len(pixels)
    torch.testing.assert_close(encoding(features), expected)
    torch.testing.assert_close(encoding(features.repeat(1, 1, 3, 2)), expected)  # of any number of pixels


def test_half_precision_does_not_reach_the_encoding() -> None:
    torch.manual_seed(0)
    encoding, features = _Encoding(512, 32), torch.rand(1, 512, 40, 40) * 20  # squared lengths beyond a half's 65504
    expected = encoding(features.half().float())
    with torch.autocast("cpu", dtype=torch.float16):
        given = encoding(features.half())
    assert given.dtype == torch.float16
    torch.testing.assert_close(given.float(), expected, rtol=1e-3, atol=1e-4)


def test_channels_are_weighed_by_the_whole_image_and_presence_is_for_training_alone() -> None:
    torch.manual_seed(0)
    net = EncNet("tu-mobilenetv3_small_050", classes=5, decoder_channels=16)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    logits, further = net(images)
    assert logits.shape == (2, 5, 8, 8) and further["presence"].shape == (2, 5)
    net.eval()
    (gradient,) = torch.autograd.grad(net(images)[0, :, 0, 0].sum(), images)
    assert (gradient[0, :, -8:, -8:] != 0).any()
    nn.init.constant_(net.decoder.gate[0].weight, 0)
    nn.init.constant_(net.decoder.gate[0].bias, -1e4)  # gates of 0 leave the features as they are
    features = net.decoder.reduced(net.encoder(images)[-1])
    torch.testing.assert_close(net(images), net.decoder.classify(features))


def test_it_has_the_common_auxiliary_head_too() -> None:
    config = ModelConfig(name="EncNet", encoder_name="tu-resnet10t", decoder_channels=16, aux=0.4)
    model = build_model(config, channels=3, outputs=5, training=True)
    logits, further, auxiliary = model(torch.zeros(2, 3, 70, 50))
    assert logits.shape == auxiliary.shape == (2, 5, 70, 50) and further["presence"].shape == (2, 5)
    model = build_model(config, channels=3, outputs=5)
    assert (model.aux, model.net.aux) == (None, None)
