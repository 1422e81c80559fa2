"""LEDNet: its size, its shuffle and its attention."""

import torch

from segtrain.models.networks.blocks import resize
from segtrain.models.networks.lednet import LEDNet, _AttentionPyramid, _SplitShuffleBlock


def test_its_size() -> None:
    """The paper has 0.94 million. The authors' code has 923,083 with its 20 classes and biases before BatchNorm in the
    pyramid, 46 of them; with 128 channels in the pyramid, a common copy has 2,325,022."""
    with torch.device("meta"):
        net = LEDNet(classes=20)
    assert sum(parameter.numel() for parameter in net.parameters()) == 923_083 - 46
    assert sum(parameter.numel() for parameter in net.head.parameters()) < 20_000


def test_a_block_keeps_half_of_the_channels_apart_and_shuffles() -> None:
    block = _SplitShuffleBlock(6, dilation=2, dropout=0.3).eval()
    features = torch.rand(1, 6, 8, 8)
    with torch.no_grad():
        expected = features.clone()
        expected[:, :3] += block.left(features[:, :3])
        expected[:, 3:] += block.right(features[:, 3:])
        torch.testing.assert_close(block(features), expected.relu()[:, [0, 3, 1, 4, 2, 5]])


def test_rows_come_before_columns_in_one_half_and_behind_them_in_the_other() -> None:
    block = _SplitShuffleBlock(8, dilation=5, dropout=0.3)
    kernels = [
        [(tuple(layer.kernel_size), tuple(layer.dilation)) for layer in half if isinstance(layer, torch.nn.Conv2d)]
        for half in (block.left, block.right)
    ]
    tall, wide = (3, 1), (1, 3)
    assert kernels[0] == [(tall, (1, 1)), (wide, (1, 1)), (tall, (5, 5)), (wide, (5, 5))]
    assert kernels[1] == [(wide, (1, 1)), (tall, (1, 1)), (wide, (5, 5)), (tall, (5, 5))]


def test_one_map_of_attention_multiplies_the_scores_of_all_classes() -> None:
    head = _AttentionPyramid(4, 3).eval()
    features = torch.randn(2, 4, 9, 13)
    with torch.no_grad():
        half = head.down[0](features)
        quarter = head.down[1](half)
        eighth = head.down[2](quarter)
        assert [tuple(each.shape[1:]) for each in (half, quarter, eighth)] == [(1, 5, 7), (1, 3, 4), (1, 2, 2)]
        attention = resize(head.across[2](eighth), quarter) + head.across[1](quarter)
        attention = resize(resize(attention, half) + head.across[0](half), features)
        image = head.image[1](features.mean((2, 3), keepdim=True))
        logits = head(features)
        torch.testing.assert_close(logits, attention * head.scores(features) + image)
    assert logits.min() < 0 < logits.max()  # else a binary mask would have no background
