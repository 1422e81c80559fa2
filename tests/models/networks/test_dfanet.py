"""DFANet: its size and cost, and what an encoder takes from the one before it."""

import pytest
import torch

from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import SegmentationModel
from segtrain.models.networks.blocks import resize
from segtrain.models.networks.dfanet import DFANet


@pytest.mark.parametrize(("variant", "billions", "count"), [("A", 3.4, 1_839_243), ("B", 2.1, 1_108_075)])
def test_its_cost_is_that_of_the_paper(variant: str, billions: float, count: int) -> None:
    """The paper's 7.8 and 4.8 million parameters cannot be had from its layers, 1.16 and 0.77 million of which are the
    attention. A copy has 2,024,051 for A: 193,000 more for an unused classifier, 8,192 less for a merge with 1x1."""
    with torch.device("meta"):
        model = SegmentationModel(DFANet(classes=19, variant=variant), mean=[0.5] * 3, std=[0.5] * 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert round(count_multiply_adds(model, (1024, 1024)) / 1e9, 1) == billions


def test_an_encoder_takes_each_stage_of_the_one_before() -> None:
    net = DFANet(variant="B", blocks=(1, 1, 1)).eval()
    given: list[list[torch.Tensor]] = []
    taken: list[torch.Tensor] = []
    for encoder in net.encoders:
        encoder.register_forward_hook(lambda module, inputs, outputs: given.append(outputs))
    for stage in net.encoders[1].stages:
        stage.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        net(torch.rand(1, 3, 68, 132))  # no multiples of 64: sizes are rounded up
    assert [[tuple(each.shape[-2:]) for each in outputs] for outputs in given] == [
        [(17, 33), (9, 17), (5, 9), (5, 9)],
        [(9, 17), (5, 9), (3, 5), (3, 5)],
        [(5, 9), (3, 5), (2, 3), (2, 3)],
    ]
    first, second = given[:2]
    entering = [resize(first[3], first[0]), second[0], second[1]]
    for stage, features, before in zip(taken, entering, first[:3], strict=True):
        torch.testing.assert_close(stage, torch.cat([features, before], 1))


def test_attention_weighs_channels_by_the_mean_of_the_image() -> None:
    encoder = DFANet(variant="B", blocks=(1, 1, 1)).encoders[0].eval()
    with torch.no_grad():
        *_, last, attended = encoder(torch.randn(2, 8, 32, 32), None)
        thousand = encoder.attend[1](last.mean((2, 3), keepdim=True))
        assert thousand.shape == (2, 1000, 1, 1)
        torch.testing.assert_close(attended, last * encoder.attend[2](thousand))
