import pytest
import torch

from segtrain.losses.lovasz import compute_lovasz_weights

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))


def test_weights_by_hand():
    # Falling: 0.4 background, 0.3 foreground, 0.2 foreground, 0.1 background. The Jaccard loss goes 0, 1/3, 2/3, 1, 1.
    errors = torch.tensor([[0.1, 0.2, 0.9, 0.3, 0.4]])
    foreground = torch.tensor([[False, True, True, True, False]])
    valid = torch.tensor([[True, True, False, True, True]])
    torch.testing.assert_close(compute_lovasz_weights(errors, foreground, valid), torch.tensor([[0, 1, 0, 1, 1]]) / 3)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_weights_are_the_steps_of_the_jaccard_loss(device):
    # Algorithm 1 of the paper in float64. The errors are all different; the last row has no foreground.
    generator = torch.Generator().manual_seed(0)
    errors = torch.stack([torch.randperm(500, generator=generator) / 500 for _ in range(3)])
    foreground = torch.rand(3, 500, generator=generator) < 0.3
    foreground[2] = False
    arguments = (errors, foreground, torch.ones_like(foreground))
    weights = compute_lovasz_weights(*(tensor.to(device) for tensor in arguments)).cpu()
    for row in range(2):
        order = errors[row].argsort(descending=True)
        hit = foreground[row, order].double()
        jaccard = 1 - (hit.sum() - hit.cumsum(0)) / (hit.sum() + (1 - hit).cumsum(0))
        steps = jaccard.diff(prepend=torch.zeros(1)).float()
        torch.testing.assert_close(weights[row, order], steps, rtol=1e-5, atol=1e-8)
    assert weights[2].nonzero().flatten().tolist() == [errors[2].argmax().item()]
    assert weights[2].max() == 1
