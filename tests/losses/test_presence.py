from math import log

import pytest
import torch

from segtrain.errors import ConfigError
from segtrain.losses import SELoss
from tests.losses.test_losses import FakeTensorMode

# Probabilities of presence: 0.8, 0.4, 0.1 in the first image, 0.5, 0.5, 0.9 in the second.
PRESENCE = torch.tensor([[0.8, 0.4, 0.1], [0.5, 0.5, 0.9]]).logit()


def masks() -> torch.Tensor:
    """The first image holds class 0 in one pixel, class 1 in three, the second class 2 alone."""
    return torch.tensor([[[0, 1], [1, 1], [255, 255]], [[2, 2], [2, 255], [2, 2]]])


def run(loss: SELoss, presence: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    value = loss(presence, mask)
    return value, torch.autograd.grad(value, presence)[0]


def test_value_by_hand() -> None:
    expected = -(log(0.8) + log(0.4) + log(0.9) + 2 * log(0.5) + log(0.9)) / 6
    assert SELoss("multiclass")(PRESENCE, masks()).item() == pytest.approx(expected)


def test_value_by_hand_where_classes_overlap() -> None:
    mask = torch.zeros(1, 3, 2, 2, dtype=torch.int64)
    mask[0, 0, 0, 0] = 1
    mask[0, 1] = 255  # nothing is known of it
    mask[0, 2, 0] = 255
    expected = -(log(0.8) + log(0.9)) / 2
    assert SELoss("multilabel")(PRESENCE[:1], mask).item() == pytest.approx(expected)


def test_images_of_ignored_pixels_do_not_count() -> None:
    loss, mask = SELoss("multiclass"), masks()
    first = loss(PRESENCE[:1], mask[:1])
    mask[1] = 255
    torch.testing.assert_close(loss(PRESENCE, mask), first)
    value, gradient = run(loss, PRESENCE.clone().requires_grad_(), torch.full_like(mask, 255))
    assert value.item() == 0 and (gradient == 0).all()


def test_another_index_is_ignored() -> None:
    mask = masks()
    other = mask.masked_fill(mask == 255, 7)
    expected = SELoss("multiclass")(PRESENCE, mask)
    assert SELoss("multiclass", ignore_index=7)(PRESENCE, other) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", ["multiclass", "multilabel"])
def test_half_precision_and_autocast_give_the_float32_loss(mode: str, dtype: torch.dtype) -> None:
    mask = masks() if mode == "multiclass" else torch.randint(0, 2, (2, 3, 4, 4))
    half, loss = PRESENCE.to(dtype).requires_grad_(), SELoss(mode)
    expected, expected_gradient = run(loss, half.detach().float().requires_grad_(), mask)
    with torch.autocast("cpu", dtype=dtype):
        value, gradient = run(loss, half, mask)
    assert value.dtype == torch.float32 and value.item() == expected.item()
    torch.testing.assert_close(gradient, expected_gradient.to(dtype))


@pytest.mark.parametrize("mode", ["multiclass", "multilabel"])
def test_forward_never_waits_for_the_device(mode: str) -> None:
    with FakeTensorMode():
        mask = torch.zeros((2, 4, 4) if mode == "multiclass" else (2, 3, 4, 4), dtype=torch.int64, device="cuda")
        assert SELoss(mode)(torch.zeros(2, 3, device="cuda"), mask).shape == ()


def test_wrong_modes_and_shapes_are_told() -> None:
    with pytest.raises(ConfigError, match="no mode 'binary'; it has: multiclass, multilabel"):
        SELoss("binary")
    for mode, presence, mask, text in (
        ("multiclass", (2, 3), (3, 4, 4), "(N, C) and a mask (N, H, W)"),
        ("multiclass", (2, 3, 4, 4), (2, 4, 4), "(N, C) and a mask (N, H, W)"),
        ("multilabel", (2, 3), (2, 2, 4, 4), "(N, C) and a mask (N, C, H, W)"),
    ):
        with pytest.raises(ValueError) as error:
            SELoss(mode)(torch.zeros(presence), torch.zeros(mask, dtype=torch.int64))
        assert str(error.value) == f"{mode} expects presence {text}, not {presence} and {mask}"
