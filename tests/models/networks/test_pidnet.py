import pytest
import torch

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.pidnet import PIDNet, _Fusion, _LightFusion, _PixelAttention


def wrapped(net: PIDNet) -> SegmentationModel:
    return SegmentationModel(net, mean=[0.5] * 3, std=[0.5] * 3)


@pytest.mark.parametrize(
    ("variant", "official", "stem_biases"), [("S", 7_625_715, 64), ("M", 28_538_515, 128), ("L", 36_939_571, 128)]
)
def test_sizes_are_those_of_the_official_code(variant, official, stem_biases):
    """7.626, 28.539 and 36.940 M without the auxiliary heads, of which the biases of the stem are not here."""
    with torch.device("meta"):
        net = PIDNet(classes=19, variant=variant)
        net.aux = None
        assert sum(parameter.numel() for parameter in net.parameters()) == official - stem_biases
        if variant == "S":
            assert count_multiply_adds(wrapped(net), (512, 1024)) == pytest.approx(11.80e9, abs=0.005e9)


def test_in_training_it_gives_the_edges_of_the_image():
    model = wrapped(PIDNet(classes=2, width=4))
    logits, auxiliary, further = model(torch.randint(0, 256, (2, 3, 50, 70)))
    assert logits.shape == auxiliary.shape == (2, 2, 50, 70)
    assert further["edges"].shape == (2, 1, 50, 70)


def test_it_learns_from_images_whose_lowest_features_are_one_pixel():
    logits, auxiliary, further = PIDNet(classes=2, variant="L", width=4)(torch.rand(2, 3, 64, 64))
    (logits.square().mean() + auxiliary.square().mean() + further["edges"].square().mean()).backward()


def test_attention_takes_context_where_it_agrees_with_the_details():
    module = _PixelAttention(3, 2).eval()
    details, context = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    made = module(details, context)
    asked, told = module.details(details), module.context(context)
    for row in range(4):
        for column in range(4):
            share = torch.sigmoid(asked[0, :, row, column] @ told[0, :, row, column])
            expected = share * context[0, :, row, column] + (1 - share) * details[0, :, row, column]
            torch.testing.assert_close(made[0, :, row, column], expected)


@pytest.mark.parametrize("fusion", [_Fusion, _LightFusion])
def test_details_count_on_borders_and_context_elsewhere(fusion):
    module = fusion(2).eval()
    details, context = torch.randn(2, 1, 2, 3, 3)
    inside, border = torch.zeros(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    if fusion is _Fusion:
        torch.testing.assert_close(module(details, context, border), module.conv(details))
        torch.testing.assert_close(module(details, context, inside), module.conv(context))
    else:  # the light one adds what is not chosen to one of its two convolutions all the same
        expected = module.details(details) + module.context(context + details)
        torch.testing.assert_close(module(details, context, border), expected)
        expected = module.details(details + context) + module.context(context)
        torch.testing.assert_close(module(details, context, inside), expected)
