import pytest
import torch

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.ddrnet import DDRNet


@pytest.mark.parametrize(
    ("variant", "official", "stem_biases", "multiply_adds"),
    [("23-slim", 5_695_987, 64, 9.07e9), ("23", 20_148_947, 128, 35.77e9), (39, 32_360_275, 128, 70.28e9)],
)
def test_sizes_are_those_of_the_official_code(variant, official, stem_biases, multiply_adds):
    """5.696, 20.149 and 32.360 M without the auxiliary head, of which the biases of the stem are not here."""
    with torch.device("meta"):
        net = DDRNet(classes=19, variant=variant)
        net.aux = None
        assert sum(parameter.numel() for parameter in net.parameters()) == official - stem_biases
        model = SegmentationModel(net, mean=[0.5] * 3, std=[0.5] * 3)
        assert count_multiply_adds(model, (512, 1024)) == pytest.approx(multiply_adds, abs=0.005e9)


def test_an_exchange_goes_both_ways_and_the_high_branch_keeps_its_size():
    exchange = DDRNet(width=4).eval().exchanges[1]
    low, high = torch.randn(1, 16, 4, 6, requires_grad=True), torch.randn(1, 8, 8, 12, requires_grad=True)
    outputs = exchange(low, high)
    assert [each.shape for each in outputs] == [(1, 32, 2, 3), (1, 8, 8, 12)]
    for output in outputs:
        given = torch.autograd.grad(output.sum(), [low, high], retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in given)


def test_it_learns_from_images_whose_lowest_features_are_one_pixel():
    logits, auxiliary = DDRNet(classes=2, width=4)(torch.rand(2, 3, 64, 64))
    assert logits.shape == auxiliary.shape == (2, 2, 8, 8)
    (logits.square().mean() + auxiliary.square().mean()).backward()


def test_a_variant_that_is_not_known():
    with pytest.raises(ValueError, match="variant is 'slim', but must be one of 23-slim, 23, 39"):
        DDRNet(variant="slim")
