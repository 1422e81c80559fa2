"""PSANet: its size, and both branches against loops over positions."""

import pytest
import torch

from segtrain.models.networks.psanet import PSANet, _Branch


def test_size() -> None:
    """50,684,499 is the count of the authors' head on torchvision's ResNet-50. The 53 M of others are with a head on
    the second-to-last features (2,364,691), which every network here can have in training."""
    with torch.device("meta"):
        net = PSANet(classes=19)
    assert sum(parameter.numel() for parameter in net.parameters()) == 50_684_499


@pytest.mark.parametrize("distributes", [False, True])
def test_branches_are_loops_over_positions(distributes: bool) -> None:
    """Position i collects from j what its own map says of the offset j - i; j distributes to i what the map of j says
    of the offset i - j."""
    torch.manual_seed(0)
    branch = _Branch(4, 6, 3, distributes=distributes).eval()
    features = torch.randn(2, 4, 3, 3)
    reduced = branch.reduce(features)
    maps = branch.attention(reduced).unflatten(1, (5, 5))  # offsets from -2 to 2
    expected = torch.zeros_like(reduced)
    positions = [(row, column) for row in range(3) for column in range(3)]
    for image in range(2):
        for row, column in positions:
            scores = torch.stack(
                [
                    maps[image, 2 + row - r, 2 + column - c, r, c]
                    if distributes
                    else maps[image, 2 + r - row, 2 + c - column, row, column]
                    for r, c in positions
                ]
            )
            for weight, (r, c) in zip(scores.softmax(0), positions, strict=True):
                expected[image, :, row, column] += weight * reduced[image, :, r, c]
    torch.testing.assert_close(branch(features), expected)


def test_features_of_any_size() -> None:
    net = PSANet("resnet18", classes=5, mask_size=4, decoder_channels=8).eval()
    with torch.no_grad():
        for height, width in ((32, 32), (40, 104)):
            assert net(torch.randn(1, 3, height, width)).shape == (1, 5, height // 8, width // 8)


def test_mask_size_is_checked() -> None:
    with pytest.raises(ValueError, match="mask_size is 0, but must be 1 or more"):
        PSANet(mask_size=0)
