"""Global convolutional network on any encoder: large separable kernels on every level of its pyramid.

Peng et al. 2017, https://arxiv.org/abs/1703.02719. Scores are enlarged by deconvolutions, as in the paper, and refined
in all nine places of its figure 2; common copies interpolate, and leave some of the refinements out.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.blocks import LearnedUpsampling, build_encoder


class _LargeKernel(nn.Module):
    """A column and a row, beside a row and a column, with nothing between: connects k x k pixels."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int):
        super().__init__()
        sides = [(kernel_size, 1), (1, kernel_size)]
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, first, padding="same"), nn.Conv2d(outputs, outputs, second, padding="same")
            )
            for first, second in (sides, sides[::-1])
        )

    def forward(self, features: Tensor) -> Tensor:
        first, second = self.paths
        return first(features) + second(features)


class _BoundaryRefinement(nn.Module):
    """Scores, and what two convolutions add to them near boundaries."""

    def __init__(self, classes: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(classes, classes, 3, padding=1) for _ in range(2))

    def forward(self, scores: Tensor) -> Tensor:
        first, second = self.convs
        return scores + second(functional.relu(first(scores)))


class _Decoder(nn.Module):
    """Scores of every level, from the coarsest on enlarged, added to those of the next and refined; then twice
    enlarged and refined up to the size of the images."""

    def __init__(self, channels: list[int], classes: int, kernel_size: int):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(_LargeKernel(each, classes, kernel_size), _BoundaryRefinement(classes))
            for each in reversed(channels)
        )
        self.upsamplings = nn.ModuleList(LearnedUpsampling(classes) for _ in channels[1:])
        self.refinements = nn.ModuleList(_BoundaryRefinement(classes) for _ in channels[1:])
        finest = [[LearnedUpsampling(classes), _BoundaryRefinement(classes)] for _ in range(2)]
        self.finest = nn.Sequential(*itertools.chain(*finest))

    def forward(self, features: list[Tensor]) -> Tensor:
        levels = (level(each) for level, each in zip(self.levels, reversed(features), strict=True))
        scores = next(levels)
        for enlarge, refine, level in zip(self.upsamplings, self.refinements, levels, strict=True):
            scores = refine(enlarge(scores) + level)
        return self.finest(scores)


class GCN(nn.Module):
    """Scores of large kernels, from 1/32 to 1/4, added and refined.

    Args:
        kernel_size: the side of the kernels, odd.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of `stride`.
        - logits: (N, classes, H, W).

    Raises:
        ValueError: kernel_size is even.
    """

    def __init__(
        self,
        encoder_name: str = "resnet50",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        kernel_size: int = 11,
    ):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}, but must be odd")
        self.encoder = build_encoder(encoder_name, encoder_weights, in_channels)
        self.decoder = _Decoder(self.encoder.out_channels[2:], classes, kernel_size)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, see the class."""
        return self.decoder(self.encoder(images)[2:])
