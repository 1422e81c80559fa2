import pytest
import torch

from segtrain.models.networks.fastfcn import FastFCN, _JointUpsampling

SMALL = {"encoder_name": "tu-mobilenetv3_small_050", "decoder_channels": 16, "classes": 5}


def test_number_of_parameters() -> None:
    """Joint pyramid upsampling adds 19.7 M to a resnet50; an FCN head of 512 channels on 2048 takes 9.4 M."""
    with torch.device("meta"):
        net = FastFCN("resnet50", classes=19)
    assert sum(parameter.numel() for parameter in net.decoder["join"].parameters()) == 19_735_552
    head = 2048 * 512 * 9 + 2 * 512 + 512 * 19 + 19
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_508_032 + 19_735_552 + head


def test_each_part_sees_the_joined_features_at_its_rate() -> None:
    torch.manual_seed(0)
    join = _JointUpsampling([4, 4, 4], 16).eval()
    features = [torch.randn(1, 4, side, side, requires_grad=True) for side in (48, 24, 12)]
    joined = join(features)
    assert joined.shape == (1, 64, 48, 48)
    for part, rate in zip(joined.split(16, 1), (1, 2, 4, 8), strict=True):
        (gradient,) = torch.autograd.grad(part[0, :, 20, 20].sum(), features[0], retain_graph=True)
        rows = {row - 20 for row in gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()}
        assert rows == {near + far for near in (-1, 0, 1) for far in (-rate, 0, rate)}
    for coarse in features[1:]:
        assert torch.autograd.grad(joined.sum(), coarse, retain_graph=True)[0].abs().sum() > 0


def test_heads() -> None:
    images = torch.randn(2, 3, 64, 96)
    for head in ("fcn", "enc"):
        assert FastFCN(**SMALL, head=head)(images).shape == (2, 5, 8, 12)
    with pytest.raises(ValueError, match=r"^head is 'psp', but must be fcn or enc$"):
        FastFCN(**SMALL, head="psp")
