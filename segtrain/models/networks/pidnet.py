"""PIDNet: three branches, for details (P, proportional), context (I, integral) and borders (D, derivative).

Xu et al. 2023, https://arxiv.org/abs/2206.02066. The first convolutions have no biases; the official code has some,
which do nothing in front of BatchNorm. Its ReLUs work in place, and so change what its auxiliary heads are given; these
do not. Of its losses, the cross entropy of the main logits at predicted borders alone is not here.
"""

from typing import Any, NamedTuple

from segmentation_models_pytorch.base.initialization import initialize_decoder
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks import branches
from segtrain.models.networks.blocks import conv_norm, resize
from segtrain.models.networks.branches import norm_first_conv, norm_first_head, residual_blocks


class _Variant(NamedTuple):
    width: int
    few: int
    """Blocks of a stage of the stem and of the P branch."""
    many: int
    """Blocks of a stage of the I branch."""
    is_light: bool
    """Whether the D branch begins with half the channels, and its fusion has no 3 x 3 convolution."""
    pool: type[branches.DAPPM]
    pool_hidden: int
    head: int


_VARIANTS = {
    "S": _Variant(32, 2, 3, True, branches.PAPPM, 96, 128),
    "M": _Variant(64, 2, 3, True, branches.PAPPM, 96, 128),
    "L": _Variant(64, 3, 4, False, branches.DAPPM, 112, 256),
}


class PIDNet(nn.Module):
    """A detail and a border branch at 1/8 that take from a context branch, which goes down to 1/64.

    In training it gives auxiliary logits of the P branch and, as `edges`, those of the D branch: whether a pixel is on
    a border. They are for EdgeLoss.

    Args:
        variant: "S", "M" or "L".
        width: channels at 1/4, of which all others but those of the pools and heads are multiples; the variant's where
            it is not given.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of 32.
        - logits: (N, classes, H / 8, W / 8).
        - edges: (N, 1, H, W), enlarged, so that they fit the image exactly after padding is cropped.

    Raises:
        ValueError: the variant is unknown.
    """

    stride, logits_stride = 32, 8
    further_outputs = ("edges",)

    def __init__(self, in_channels: int = 3, classes: int = 1, variant: Any = "S", width: int | None = None):
        super().__init__()
        chosen = branches.check_variant(variant, _VARIANTS)
        width = width or chosen.width
        narrow = width if chosen.is_light else width * 2
        self.stem = nn.Sequential(
            conv_norm(in_channels, width, stride=2),
            conv_norm(width, width, stride=2),
            residual_blocks(width, width, chosen.few),
            nn.ReLU(),
            residual_blocks(width, width * 2, chosen.few, stride=2),
        )
        borders = residual_blocks(width * 2, narrow, 1)
        self.first = _Stage(chosen, width, context=width * 2, borders=borders, borders_channels=narrow)
        borders = residual_blocks(narrow, narrow, 1, bottleneck=chosen.is_light)
        self.second = _Stage(chosen, width, context=width * 4, borders=borders, borders_channels=width * 2)
        self.last_context = residual_blocks(width * 8, width * 8, 2, stride=2, bottleneck=True)
        self.last_details = residual_blocks(width * 2, width * 2, 1, bottleneck=True)
        self.last_borders = residual_blocks(width * 2, width * 2, 1, bottleneck=True)
        self.pool = chosen.pool(width * 16, chosen.pool_hidden, width * 4)
        self.fusion = (_LightFusion if chosen.is_light else _Fusion)(width * 4)
        self.head = norm_first_head(width * 4, chosen.head, classes)
        self.aux: nn.Module | None = nn.ModuleDict(
            {"details": norm_first_head(width * 2, chosen.head, classes), "edges": norm_first_head(width * 2, width, 1)}
        )
        initialize_decoder(self)

    def forward(self, images: Tensor) -> Tensor | list[Any]:
        """Logits, see the class."""
        shared = self.stem(images)
        context, details, borders = self.first(shared, shared, shared)
        context, last_details, borders = self.second(context, details, borders)
        context = self.pool(self.last_context(functional.relu(context)))
        fused = self.fusion(
            self.last_details(functional.relu(last_details)),
            resize(context, borders),
            self.last_borders(functional.relu(borders)).sigmoid(),
        )
        logits = self.head(fused)
        if not self.training or self.aux is None:
            return logits
        edges = resize(self.aux["edges"](borders), images)
        return [logits, self.aux["details"](details), {"edges": edges}]


class _Stage(nn.Module):
    """Blocks of all three branches, and what the details and the borders then take from the context. Features come and
    go without ReLU."""

    def __init__(self, chosen: _Variant, width: int, *, context: int, borders: nn.Module, borders_channels: int):
        super().__init__()
        self.context = residual_blocks(context, context * 2, chosen.many, stride=2)
        self.details = residual_blocks(width * 2, width * 2, chosen.few)
        self.compression = conv_norm(context * 2, width * 2, 1, activation=False)
        self.guide = _PixelAttention(width * 2, width)
        self.borders = borders
        self.difference = conv_norm(context * 2, borders_channels, activation=False)

    def forward(self, context: Tensor, details: Tensor, borders: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context = self.context(functional.relu(context))
        taken = functional.relu(context)
        details = self.guide(self.details(functional.relu(details)), self.compression(taken))
        borders = self.borders(functional.relu(borders))
        return context, details, borders + resize(self.difference(taken), borders)


class _PixelAttention(nn.Module):
    """Pag: the more details and context agree at a pixel, the more of the context is taken there."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.details = conv_norm(channels, hidden, 1, activation=False)
        self.context = conv_norm(channels, hidden, 1, activation=False)

    def forward(self, details: Tensor, context: Tensor) -> Tensor:
        agreement = self.details(details) * resize(self.context(context), details)
        share = agreement.sum(1, keepdim=True).sigmoid()
        return share * resize(context, details) + (1 - share) * details


class _Fusion(nn.Module):
    """Bag: details where there are borders, context elsewhere."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = norm_first_conv(channels, channels, 3)

    def forward(self, details: Tensor, context: Tensor, share: Tensor) -> Tensor:
        return self.conv(share * details + (1 - share) * context)


class _LightFusion(nn.Module):
    """Light-Bag: the same, but everywhere some of both."""

    def __init__(self, channels: int):
        super().__init__()
        self.details = conv_norm(channels, channels, 1, activation=False)
        self.context = conv_norm(channels, channels, 1, activation=False)

    def forward(self, details: Tensor, context: Tensor, share: Tensor) -> Tensor:
        return self.details((1 - share) * context + details) + self.context(context + share * details)
