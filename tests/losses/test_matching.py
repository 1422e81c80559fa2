"""MaskMatchingLoss: by hand, beside a search through all matchings, and where pixels are ignored."""

from itertools import permutations
from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segtrain.errors import ConfigError
from segtrain.losses import MaskMatchingLoss

Output = dict[str, Tensor]


def draw(*, queries: int = 4, classes: int = 3, seed: int = 0) -> tuple[Output, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    output = {
        "classes": torch.randn(2, queries, classes + 1, generator=generator).requires_grad_(),
        "masks": torch.randn(2, queries, 4, 5, generator=generator).requires_grad_(),
    }
    return output, torch.randint(0, classes, (2, 4, 5), generator=generator)


def test_by_hand() -> None:
    """Two classes of two pixels each. Logits of 0 are a probability of 1/3 and half a mask: the cross entropy is log 3,
    the binary one log 2, and the Dice loss 1 - (2 * 1 + 1) / (2 + 2 + 1) = 0.4."""
    output = {"classes": torch.zeros(1, 5, 3), "masks": torch.zeros(1, 5, 2, 2)}
    loss = MaskMatchingLoss("multiclass")(output, torch.tensor([[[0, 1], [0, 1]]]))
    torch.testing.assert_close(loss, torch.tensor(2 * log(3) + 5 * log(2) + 5 * 0.4))


def test_a_perfect_answer() -> None:
    """In any order of the queries; the third is no object, and its mask counts nowhere."""
    mask = torch.tensor([[[0, 1], [0, 1]]])
    classes = 50 * functional.one_hot(torch.tensor([[1, 0, 2]]), 3).float()
    masks = torch.stack([mask == 1, mask == 0, mask == 0], 1) * 100.0 - 50
    loss = MaskMatchingLoss("multiclass")({"classes": classes, "masks": masks}, mask)
    torch.testing.assert_close(loss, torch.tensor(0.0))


def expected_loss(output: Output, mask: Tensor, *, ignore_index: int = 255) -> Tensor:
    """The best of all matchings of each image, one query and class at a time."""
    of_masks, of_classes, weights = [], [], []
    for classes, masks, target in zip(output["classes"], output["masks"], mask, strict=True):
        valid, none = target != ignore_index, classes.shape[-1] - 1
        there = [int(value) for value in target[valid].unique()]
        pairs = {}
        for query, logits in enumerate(masks):
            for value in there:
                truth, chosen = (target == value)[valid].float(), logits[valid]
                crossed = functional.binary_cross_entropy_with_logits(chosen, truth)
                both, total = (chosen.sigmoid() * truth).sum(), chosen.sigmoid().sum() + truth.sum()
                pairs[query, value] = 5 * crossed + 5 * (1 - (2 * both + 1) / (total + 1))
        probabilities = classes.softmax(-1)
        best = min(
            permutations(range(len(masks)), len(there)),
            key=lambda order: sum(
                float((pairs[query, value] - 2 * probabilities[query, value]).detach())
                for query, value in zip(order, there, strict=True)
            ),
        )
        of_masks += [pairs[pair] for pair in zip(best, there, strict=True)]
        wanted = dict(zip(best, there, strict=True))
        for query, logits in enumerate(classes):
            of_classes.append(-logits.log_softmax(-1)[wanted.get(query, none)])
            weights.append(1.0 if query in wanted else 0.1)
    weighted = sum(weight * value for weight, value in zip(weights, of_classes, strict=True))
    return sum(of_masks) / len(of_masks) + 2 * weighted / sum(weights)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_all_matchings(seed: int) -> None:
    output, mask = draw(seed=seed)
    mask[0, :2] = 255
    mask[1][mask[1] == 2] = 0  # a class that is not in the second image
    torch.testing.assert_close(MaskMatchingLoss("multiclass")(output, mask), expected_loss(output, mask))


def test_fewer_queries_than_classes() -> None:
    output, mask = draw(queries=2)
    loss = MaskMatchingLoss("multiclass")(output, mask)
    loss.backward()
    assert loss.isfinite() and output["masks"].grad.abs().amin((2, 3)).min() > 0  # each has a class


def test_ignored_pixels_count_nowhere() -> None:
    output, mask = draw()
    mask[:, :2] = 255
    loss = MaskMatchingLoss("multiclass")(output, mask)
    loss.backward()
    assert output["masks"].grad[:, :, :2].eq(0).all() and output["masks"].grad.abs().sum() > 0
    changed = output["masks"].detach().clone()
    changed[:, :, :2] += 100
    torch.testing.assert_close(MaskMatchingLoss("multiclass")(output | {"masks": changed}, mask), loss)


def test_nothing_but_ignored_pixels() -> None:
    output, mask = draw()
    one = MaskMatchingLoss("multiclass")({key: value[:1] for key, value in output.items()}, mask[:1])
    mask[1] = 255
    torch.testing.assert_close(MaskMatchingLoss("multiclass")(output, mask), one)  # the second image says nothing
    loss = MaskMatchingLoss("multiclass")(output, torch.full_like(mask, 255))
    loss.backward()
    assert loss == 0 and all(tensor.grad.eq(0).all() for tensor in output.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision(dtype: torch.dtype) -> None:
    output, mask = draw()
    low = {key: value.detach().to(dtype) for key, value in output.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = MaskMatchingLoss("multiclass")(low, mask)
    assert loss.dtype == torch.float32
    expected = MaskMatchingLoss("multiclass")({key: value.float() for key, value in low.items()}, mask)
    torch.testing.assert_close(loss, expected)


def test_a_larger_mask_is_compared_at_the_size_of_the_predicted_ones() -> None:
    output, mask = draw()
    larger = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    loss = MaskMatchingLoss("multiclass")
    torch.testing.assert_close(loss(output, larger), loss(output, mask))


@pytest.mark.parametrize("mode", ["binary", "multilabel"])
def test_other_modes(mode: str) -> None:
    with pytest.raises(ConfigError) as error:
        MaskMatchingLoss(mode)
    assert str(error.value).startswith(f"loss.MaskMatchingLoss: no mode '{mode}'; it has: multiclass")
