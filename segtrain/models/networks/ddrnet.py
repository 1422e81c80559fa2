"""Deep dual-resolution network, DDRNet: one branch stays at 1/8, the other goes down to 1/64, and they exchange.

Hong et al. 2021, https://arxiv.org/abs/2101.06085. The first convolutions have no biases; the official code has some,
which do nothing in front of BatchNorm.
"""

from typing import Any, NamedTuple

from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import conv_norm, resize
from segtrain.models.networks.branches import DAPPM, check_variant, norm_first_head, residual_blocks


class _Variant(NamedTuple):
    width: int
    blocks: tuple[int, int]
    """At 1/4 and at 1/8, before the branches part."""
    exchanges: tuple[tuple[int, int], ...]
    """Of each: blocks in either branch before it, and channels of the low branch, as a multiple of the width."""
    head: int


_VARIANTS = {
    "23-slim": _Variant(32, (2, 2), ((2, 4), (2, 8)), 64),
    "23": _Variant(64, (2, 2), ((2, 4), (2, 8)), 128),
    "39": _Variant(64, (3, 4), ((3, 4), (3, 4), (3, 8)), 256),
}


class DDRNet(nn.Module):
    """A branch of high and one of low resolution, with a pyramid pooling module (DAPPM) at the end of the low one.

    In training it gives two logits: the auxiliary ones are those of the high branch before the last exchange.

    Args:
        variant: "23-slim", "23" or "39".
        width: channels at 1/4, of which all others but those of the pools and heads are multiples; the variant's where
            it is not given.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 32.
        - logits: (N, classes, H / 8, W / 8).

    Raises:
        ValueError: the variant is unknown.
    """

    stride, logits_stride = 32, 8

    def __init__(self, in_channels: int = 3, classes: int = 1, variant: Any = "23-slim", width: int | None = None):
        super().__init__()
        chosen = check_variant(variant, _VARIANTS)
        width = width or chosen.width
        high = width * 2
        self.stem = nn.Sequential(
            conv_norm(in_channels, width, stride=2),
            conv_norm(width, width, stride=2),
            residual_blocks(width, width, chosen.blocks[0]),
            nn.ReLU(),
            residual_blocks(width, high, chosen.blocks[1], stride=2),
        )
        exchanges, low = [], high
        for blocks, multiple in chosen.exchanges:
            exchanges.append(_Exchange(low, high, width * multiple, blocks))
            low = width * multiple
        self.exchanges = nn.ModuleList(exchanges)
        self.last_high = residual_blocks(high, high, 1, bottleneck=True)
        self.last_low = residual_blocks(low, low, 1, stride=2, bottleneck=True)
        self.pool = DAPPM(low * 2, 128, high * 2)
        self.head = norm_first_head(high * 2, chosen.head, classes)
        self.aux: nn.Module | None = norm_first_head(high, chosen.head, classes)
        initialize_decoder(self)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Logits, see the class."""
        low = high = self.stem(images)
        for exchange in self.exchanges:
            before = high
            low, high = exchange(low, high)
        context = self.pool(self.last_low(functional.relu(low)))
        high = self.last_high(functional.relu(high))
        logits = self.head(high + resize(context, high))
        return [logits, self.aux(before)] if self.training and self.aux is not None else logits


class _Exchange(nn.Module):
    """Blocks of both branches, and what each branch then adds to the other. Features come and go without ReLU."""

    def __init__(self, inputs: int, high: int, outputs: int, blocks: int):
        super().__init__()
        self.low = residual_blocks(inputs, outputs, blocks, stride=2 if outputs > inputs else 1)
        self.high = residual_blocks(high, high, blocks)
        self.up = conv_norm(outputs, high, 1, activation=False)
        self.down = nn.Sequential()
        while high < outputs:
            self.down.append(conv_norm(high, high * 2, stride=2, activation=high * 2 < outputs))
            high *= 2

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.low(functional.relu(low)), self.high(functional.relu(high))
        added = resize(self.up(functional.relu(low)), high)
        return low + self.down(functional.relu(high)), high + added
