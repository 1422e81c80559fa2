import math

import pytest
import torch
from torch import Tensor

from segtrain.inference.uncertainty import MAP_SIDE_PX, Meter, measure_pixels, reduce_pixels


def of_pixel(*probabilities: float, mode: str) -> list[float]:
    """Entropy and margin of one pixel."""
    return measure_pixels(torch.tensor(probabilities, dtype=torch.float32).view(1, -1, 1, 1), mode).flatten().tolist()


@pytest.mark.parametrize(
    ("mode", "probabilities", "entropy", "margin"),
    [
        ("multiclass", (1, 0, 0, 0), 0, 0),
        ("multiclass", (0.25, 0.25, 0.25, 0.25), 1, 1),
        ("multiclass", (0.5, 0.5, 0, 0), 0.5, 1),  # one bit of two
        ("multiclass", (0, 0.25, 0, 0.75), 0.405639, 0.5),  # 0.811278 bits of two
        ("multiclass", (0.1, 0.2, 0.7), 0.729847, 0.5),
        ("multiclass", (1,), 0, 0),
        ("binary", (0.5,), 1, 1),
        ("binary", (1,), 0, 0),
        ("binary", (0.25,), 0.811278, 0.5),
        ("multilabel", (0.5, 1, 0.25), (1 + 0 + 0.811278) / 3, 0.5),
    ],
)
def test_numbers_that_are_known_by_hand(mode, probabilities, entropy, margin):
    assert of_pixel(*probabilities, mode=mode) == pytest.approx([entropy, margin], abs=1e-6)


def test_it_never_leaves_its_range():
    torch.manual_seed(0)
    wild = torch.cat([torch.randn(1, 7, 50, 50) * scale for scale in (0, 1, 100)]).softmax(1)
    for mode in ("multiclass", "multilabel"):
        measured = measure_pixels(wild, mode)
        assert measured.shape == (3, 2, 50, 50) and measured.min() >= 0 and measured.max() <= 1


def test_the_margin_is_that_of_the_two_largest():
    probabilities = torch.rand(2, 9, 6, 5, generator=torch.manual_seed(0)).softmax(1)
    first, second = probabilities.topk(2, dim=1).values.unbind(1)
    assert torch.equal(measure_pixels(probabilities, "multiclass")[:, 1], 1 - (first - second))


def half_sure(height: int, width: int) -> Tensor:
    """Two classes, (1, 2, H, W): sure in the left half, undecided in the right."""
    probabilities = torch.full((1, 2, height, width), 0.5)
    probabilities[..., : width // 2] = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    return probabilities


def test_an_image_has_the_means_of_its_pixels_and_a_small_map():
    means, small = reduce_pixels(measure_pixels(half_sure(500, 1000), "multiclass")[0])
    assert means.tolist() == [0.5, 0.5] and small.shape == (MAP_SIDE_PX // 2, MAP_SIDE_PX)
    assert small[:, :159].max() == 0 and small[:, 161:].min() == 1
    assert reduce_pixels(measure_pixels(half_sure(1, 4), "multiclass")[0])[1].tolist() == [[0, 0, 1, 1]]


def test_an_image_in_strips_has_the_same():
    meter = Meter("multiclass")
    for rows in half_sure(9, 8).split(4, dim=2):
        meter.add(rows)
    assert (meter.uncertainty.entropy, meter.uncertainty.margin, meter.uncertainty.map) == (0.5, 0.5, None)
    assert math.isfinite(Meter("binary").uncertainty.entropy)
