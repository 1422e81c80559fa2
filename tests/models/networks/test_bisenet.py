import torch
from torch.nn import functional

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.bisenet import BiSeNet, _Fusion
from segtrain.models.networks.blocks import AttentionRefinement


def test_size_and_cost() -> None:
    """Of the authors' code, without auxiliary heads: 12.894 M, and 25.93 G multiply-adds at 512 x 1024.

    Copies have a quarter of the channels within the attention of the fusion, 12.80 M, and one of them a last 3x3
    convolution of 256 channels instead of 64, 13.24 M and 29.58 G.
    """
    with torch.device("meta"):
        net = BiSeNet("resnet18", classes=19)
        net.aux = None
        model = SegmentationModel(net, mean=[0.5] * 3, std=[0.5] * 3)
        assert sum(parameter.numel() for parameter in net.parameters()) == 12_894_163
        assert round(count_multiply_adds(model, (512, 1024)) / 1e9, 2) == 25.93
    common = 12_894_163 - 2 * 256 * (256 - 64)
    assert round(common / 1e6, 2) == 12.80
    assert round((common + (256 - 64) * (256 * 9 + 2 + 19)) / 1e6, 2) == 13.24


def test_the_spatial_path_sees_19_pixels_and_the_context_path_all() -> None:
    torch.manual_seed(0)
    net = BiSeNet("tu-mobilenetv3_small_050", classes=5, decoder_channels=32).eval()
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    spatial = net.decoder["spatial"](images)
    (gradient,) = torch.autograd.grad(spatial[0, :, 8, 8].sum(), images)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.tolist() == list(range(64 - 9, 64 + 10))
    (gradient,) = torch.autograd.grad(net(images)[0, :, 0, 0].sum(), images)
    assert (gradient[..., -8:, -8:] != 0).any()


def test_attention_weighs_channels_by_their_means() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, 4, 5)
    attention, fusion = AttentionRefinement(6, 8).eval(), _Fusion(6).eval()
    refined = attention.convolution(features)
    convolution, norm = attention.weights[1][:2]
    weights = norm(convolution(refined.mean((2, 3), keepdim=True))).sigmoid()
    torch.testing.assert_close(attention(features), refined * weights)
    mixed = fusion.convolution(features)
    hidden = functional.relu(functional.linear(mixed.mean((2, 3)), fusion.weights[1].weight[:, :, 0, 0]))
    weights = functional.linear(hidden, fusion.weights[3].weight[:, :, 0, 0]).sigmoid()[..., None, None]
    torch.testing.assert_close(fusion(features), mixed * (1 + weights))


def test_auxiliary_logits_come_from_the_context_path() -> None:
    net = BiSeNet("tu-mobilenetv3_small_050", classes=5, decoder_channels=8)
    outputs = net(torch.randn(2, 3, 64, 96))
    assert [logits.shape for logits in outputs] == [(2, 5, 8, 12), (2, 5, 8, 12), (2, 5, 4, 6)]
    inputs = [*net.decoder["spatial"].parameters()]
    unused = torch.autograd.grad(sum(map(torch.sum, outputs[1:])), inputs, allow_unused=True)
    assert set(unused) == {None}
