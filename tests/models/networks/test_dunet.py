"""DUNet: its size, and the layout of the blocks that its upsampling makes."""

import torch

from segtrain.models.networks.dunet import DUNet, _DataDependentUpsampling


def test_size() -> None:
    """There is no official count. 31.6 to 34.3 M are those of a copy, whose features are at 1/8, and which has a
    further head. Ours, by hand, on the 23,508,032 of ResNet-50: three 1x1 convolutions to 48, two 3x3 to 256, one to 64
    and the linear map to 16 x 16 x 19 logits."""
    with torch.device("meta"):
        net = DUNet(classes=19)
    reduce = (256 + 512 + 1024) * 48 + 3 * 2 * 48
    fuse = (2048 + 3 * 48) * 256 * 9 + 256 * 256 * 9 + 2 * 2 * 256
    upsample = 256 * 64 + 64 + 64 * 16 * 16 * 19 + 1
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_508_032 + reduce + fuse + upsample


def test_a_pixel_becomes_a_block() -> None:
    """Logit (k, row, column) of a block is row k * side^2 + row * side + column of the linear map, and divided by the
    temperature."""
    torch.manual_seed(0)
    upsampling = _DataDependentUpsampling(3, classes=2, side=4)
    upsampling.log_temperature.data.fill_(2.0).log_()
    features = torch.randn(1, 3, 2, 5)
    logits = upsampling(features)
    assert logits.shape == (1, 2, 8, 20)
    linear = upsampling.linear.weight.flatten(1)
    for k, row, column in ((0, 0, 0), (0, 6, 3), (1, 7, 18)):
        pixel = features[0, :, row // 4, column // 4]
        expected = linear[k * 16 + row % 4 * 4 + column % 4] @ pixel / 2.0
        torch.testing.assert_close(logits[0, k, row, column], expected)


def test_features_of_all_sizes_are_used() -> None:
    net = DUNet("resnet18", classes=5, encoder_output_stride=32, decoder_channels=8, block_channels=8)
    given = [
        torch.randn(2, count, 64 // size, 64 // size, requires_grad=True)
        for count, size in ((64, 4), (128, 8), (256, 16), (512, 32))
    ]
    logits = net.decoder(given)
    assert logits.shape == (2, 5, 64, 64)
    logits.square().sum().backward()
    assert all(features.grad.any() for features in given)
