import torch
from torch import nn

from segtrain.models.networks.psp import DilatedPSPNet


def count(net_class, **arguments) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


def test_parameters():
    # 23,508,032 of the encoder, 4 x (2048 x 512 + 2 x 512), 4096 x 512 x 9 + 2 x 512, 512 x 19 + 19
    assert count(DilatedPSPNet, classes=19) == 46_591_571


def test_parameters_on_densenet201():
    """A common copy, PSPDenseNet, has 42.288 M: these with 480 joined channels; an auxiliary head of 480 on the 896
    channels behind the third transition, where every network of segtrain has one on the 1792 before it; a stem of
    three 3 x 3 convolutions; and no norm behind the last block."""
    ours = count(DilatedPSPNet, encoder_name="densenet201", classes=19)
    assert ours == 39_488_659
    narrower = (512 - 480) * (2 * 1920 * 9 + 2 + 19)
    auxiliary = 896 * 480 * 9 + 2 * 480 + 480 * 19 + 19
    stem = 3 * 64 * 9 + 2 * 64 + 64 * 64 * 9 + 2 * 64 - (3 * 64 * 49 + 2 * 64)
    assert ours - narrower + auxiliary + stem - 2 * 1920 == 42_288_358


def test_means_are_those_of_cells_beside_the_features():
    torch.manual_seed(0)
    pooling = DilatedPSPNet("tu-mobilenetv3_small_050").decoder[0].eval()
    for level in pooling.levels:
        nn.init.dirac_(level[1][0].weight)
    channels = len(pooling.levels[0][1][0].weight[0])
    features = torch.rand(1, channels, 12, 6)
    joined = pooling(features)
    assert joined.shape == (1, 2 * channels, 12, 6)
    assert torch.equal(joined[:, :channels], features)
    quarter = channels // 4
    scale = 1 / (1 + 1e-5) ** 0.5  # of a norm that has not been trained
    means = features[0, :quarter].mean((1, 2)) * scale
    torch.testing.assert_close(joined[0, channels : channels + quarter], means[:, None, None].expand(-1, 12, 6))
    cells = features[0, :quarter].unflatten(1, (6, 2)).mean(2).repeat_interleave(2, 1) * scale
    # Enlarging a column of cells twofold keeps a pixel 3/4 its own cell and 1/4 the next.
    fine = joined[0, -quarter:]
    torch.testing.assert_close(fine[:, 0], cells[:, 0])
    torch.testing.assert_close(fine[:, 1], 0.75 * cells[:, 1] + 0.25 * cells[:, 2])
