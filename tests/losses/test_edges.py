from math import log

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from segtrain.losses import DetailLoss, EdgeLoss

EIGHT = torch.full((1, 1, 1, 8), log(0.8 / 0.2))  # everywhere a probability of 0.8
every_loss = pytest.mark.parametrize("loss", [EdgeLoss, DetailLoss])


def row_of(*labels: int) -> torch.Tensor:
    return torch.tensor([[labels]])


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 3, (2, 4, 5), generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2)
    mask[:, :3] = 255
    return torch.randn(2, 1, *mask.shape[1:], generator=generator), mask


def test_edge_loss_by_hand():
    # Of 7 pixels that count, 2 are on the border: they weigh 5/7, the 5 others 2/7.
    value = EdgeLoss("multiclass", radius=1)(EIGHT, row_of(255, 0, 0, 0, 1, 1, 1, 1))
    assert value.item() == pytest.approx(-10 / 7 * (log(0.8) + log(0.2)) / 7)


def test_detail_loss_by_hand():
    # Pixels 3 and 4 are on the border; of each second pixel, 4 is, and stands for 5.
    value = DetailLoss("multiclass")(EIGHT, row_of(0, 0, 0, 0, 1, 1, 1, 1))
    entropy = -(3 * log(0.8) + 5 * log(0.2)) / 8
    assert value.item() == pytest.approx(entropy + 1 - (2 * 3 * 0.8 + 1) / (8 * 0.8 + 3 + 1))


def test_borders_are_pixels_near_another_class():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (6, 7), generator=generator)
    labels[labels == 2] = 255
    found = EdgeLoss("multiclass", radius=2).find_target(labels[None, None])[0, 0]
    for row in range(6):
        for column in range(7):
            near = labels[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
            others = (near != labels[row, column]) & (near != 255)
            assert found[row, column] == (others.any() and labels[row, column] != 255)
    assert found.any() and not found.all()


def test_an_object_has_a_border_of_two_pixels_on_either_side():
    labels = torch.zeros(1, 1, 20, 20, dtype=torch.int64)
    labels[..., 6:14, 6:14] = 7
    found = EdgeLoss("multiclass").find_target(labels)
    expected = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    expected[..., 4:16, 4:16] = True
    expected[..., 8:12, 8:12] = False
    assert torch.equal(found, expected)


def test_details_are_the_fusion_of_the_paper():
    # In an image of two classes, the Laplacian of a pixel's own class is that of the mask or of its opposite.
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., 3:10, 5:16] = 1
    rim = torch.nn.functional.pad(mask, (1, 1, 1, 1), mode="replicate")
    kernel = torch.full((1, 1, 3, 3), -1.0)
    kernel[..., 1, 1] = 8
    maps = []
    for stride in (1, 2, 4):
        positive = torch.nn.functional.conv2d(rim, kernel, stride=stride).abs() > 0.1
        maps.append(positive.float().repeat_interleave(stride, 2).repeat_interleave(stride, 3))
    shares = torch.tensor([0.6, 0.3, 0.1]).view(1, 3, 1, 1)
    expected = torch.nn.functional.conv2d(torch.cat(maps, 1), shares) > 0.1
    found = DetailLoss("multiclass").find_target(mask.long())
    assert torch.equal(found, expected) and found.sum() > (maps[0] > 0).sum()


@every_loss
def test_ignored_pixels_count_nowhere(loss):
    edges, mask = draw()
    expected = loss("multiclass")(edges, mask)
    torch.testing.assert_close(
        loss("multiclass")(edges.masked_fill(mask.unsqueeze(1) == 255, torch.inf), mask), expected
    )
    # Nor does an image of nothing else.
    more = loss("multiclass")(torch.cat([edges, edges[:1]]), torch.cat([mask, torch.full_like(mask[:1], 255)]))
    torch.testing.assert_close(more, expected)


@every_loss
def test_nothing_but_ignored_pixels_gives_zero(loss):
    edges, mask = draw()
    value = loss("multiclass")(edges.requires_grad_(), torch.full_like(mask, 255))
    value.backward()
    assert value == 0 and torch.equal(edges.grad, torch.zeros_like(edges))


@every_loss
def test_an_image_of_one_class_has_no_border(loss):
    edges, mask = draw()
    value = loss("multiclass")(torch.full_like(edges, -20.0), torch.ones_like(mask))
    assert 0 <= value < 0.1


@every_loss
def test_the_modes_agree_where_they_say_the_same(loss):
    edges, mask = draw()
    two = torch.where(mask == 255, 255, mask.clamp(max=1))
    expected = loss("multiclass")(edges, two)
    torch.testing.assert_close(loss("binary")(edges, two), expected)
    layers = torch.stack([torch.where(two == 255, 255, 1 - two), two], 1)
    torch.testing.assert_close(loss("multilabel")(edges, layers), expected)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_computed_in_float32(loss, dtype):
    edges, mask = draw()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss("multiclass")(edges.to(dtype), mask)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss("multiclass")(edges.to(dtype).float(), mask))


@every_loss
def test_smaller_edges_are_enlarged_to_the_mask(loss):
    edges, mask = draw()
    small = edges[..., ::4, ::4]
    larger = torch.nn.functional.interpolate(small, mask.shape[1:], mode="bilinear")
    torch.testing.assert_close(loss("multiclass")(small, mask), loss("multiclass")(larger, mask))


@every_loss
def test_it_does_not_wait_for_the_device(loss):
    with FakeTensorMode():
        edges, mask = torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
        assert loss("multiclass")(edges, mask).ndim == 0  # reading a value would raise


def test_a_radius_of_nothing():
    with pytest.raises(ValueError, match="radius is 0, but must be 1 or more"):
        EdgeLoss("binary", radius=0)
