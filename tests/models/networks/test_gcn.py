import pytest
import torch
from torch import nn

from segtrain.models.networks.gcn import GCN


def count(net_class, **arguments) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in net_class(**arguments).parameters())


@pytest.mark.parametrize(("encoder", "copy"), [("resnet50", 25_190_976), ("resnet101", 44_183_104)])
def test_parameters(encoder, copy):
    """Counts of a copy, 25.19 and 44.18 M, are those of seven refinements and of interpolation; here there are nine
    of 2 x (19 x 19 x 9 + 19), and five learned upsamplings of 19 x 19 x 4 x 4."""
    more = 2 * 2 * (19 * 19 * 9 + 19) + 5 * 19 * 19 * 4 * 4
    assert count(GCN, encoder_name=encoder, classes=19) == copy + more


def test_a_large_kernel_connects_all_pixels_of_its_square_and_no_others():
    torch.manual_seed(0)
    kernel = GCN("tu-mobilenetv3_small_050", kernel_size=5).decoder.levels[0][0]
    features = torch.zeros(1, kernel.paths[0][0].in_channels, 11, 11)
    with torch.no_grad():
        before = kernel(features)
        features[..., 5, 5] = 1
        changed = (kernel(features) - before)[0, 0] != 0
    expected = torch.zeros(11, 11, dtype=torch.bool)
    expected[3:8, 3:8] = True
    assert torch.equal(changed, expected)


def test_refinement_adds_what_its_convolutions_find():
    refine = GCN("tu-mobilenetv3_small_050").decoder.finest[1]
    for conv, factor in zip(refine.convs, (2.0, 3.0), strict=True):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
        conv.weight.data *= factor
    with torch.no_grad():
        assert refine(torch.tensor([[[[1.0, -1.0]]]])).flatten().tolist() == [1 + 2 * 3, -1]


def test_logits_have_the_size_of_the_images():
    with torch.device("meta"):
        assert GCN("resnet18", classes=3)(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError) as error:
        GCN(kernel_size=10)
    assert str(error.value) == "kernel_size is 10, but must be odd"
