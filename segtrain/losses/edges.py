"""Losses of borders: whether a network finds the pixels at which classes meet, for networks with an output `edges`."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss


class _BorderLoss(SegmentationLoss):
    """A loss of logits of whether a pixel is on a border.

    Shape:
        - edges: (N, 1, h, w), enlarged to the mask bilinearly.
        - mask: (N, H, W), or (N, C, H, W) in mode multilabel, where a pixel counts if none of its layers is ignored.
    """

    takes = "edges"
    whole_batch = False

    def forward(self, edges: Tensor, mask: Tensor) -> Tensor:
        """The loss, a float32 scalar."""
        layers = mask if mask.ndim == 4 else mask.unsqueeze(1)
        valid = (layers != self.ignore_index).all(1, keepdim=True)
        with torch.autocast(edges.device.type, enabled=False):
            size = mask.shape[-2:]
            edges = functional.interpolate(edges.float(), size, mode="bilinear", align_corners=False)
            target = self.find_target(layers) & valid
            return self.compute_loss(edges.masked_fill(~valid, 0.0), target.float(), valid)

    @abstractmethod
    def find_target(self, layers: Tensor) -> Tensor:
        """Which pixels of a mask (N, C or 1, H, W) are on a border: bool, (N, 1, H, W)."""

    def find_borders(self, layers: Tensor, radius: int) -> Tensor:
        """The pixels of a mask (N, C or 1, H, W) with another class within `radius` rows and columns: bool, (N, 1, H,
        W). What is ignored, and what is beyond the image, is no other class."""
        ignored, values = layers == self.ignore_index, layers.float()
        highest = functional.max_pool2d(values.masked_fill(ignored, -torch.inf), 2 * radius + 1, 1, radius)
        lowest = -functional.max_pool2d((-values).masked_fill(ignored, -torch.inf), 2 * radius + 1, 1, radius)
        return ((highest > lowest) & ~ignored).any(1, keepdim=True)


class EdgeLoss(_BorderLoss):
    """Binary cross entropy of borders, in which the few pixels on them weigh as much as the many others (Xu et al.
    2023, "PIDNet: a real-time semantic segmentation network inspired by PID controllers").

    A pixel on a border weighs the share of the others in the batch, another pixel the share of those on borders; the
    sum is divided by the number of pixels. The paper takes it 20 times: write a coef of 20.

    Args:
        radius: pixels on either side of a border that are on it. The official code finds edges by Canny and widens
            them to 4 pixels, which a radius of 2 gives too; it also finds edges around ignored pixels.
    """

    def __init__(self, mode: str, *, ignore_index: int = 255, radius: int = 2):
        super().__init__(mode, ignore_index=ignore_index)
        if radius < 1:
            raise ValueError(f"radius is {radius}, but must be 1 or more")
        self.radius = radius

    def find_target(self, layers: Tensor) -> Tensor:
        """See _BorderLoss."""
        return self.find_borders(layers, self.radius)

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        share = self.average(target.sum(), valid.sum())
        weight = torch.where(target > 0, 1 - share, share) * valid
        entropy = functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
        return self.average(entropy, valid.sum())


_SHARES = ((1, 0.6), (2, 0.3), (4, 0.1))  # stride, and the share in the sum
_THRESHOLD = 0.1


class DetailLoss(_BorderLoss):
    """Binary cross entropy plus Dice loss of details, which are borders at several resolutions (Fan et al. 2021,
    "Rethinking BiSeNet for real-time semantic segmentation").

    A detail is where a Laplacian is positive, taken at each pixel, each second and each fourth; the three maps are
    enlarged and added with the shares 0.6, 0.3 and 0.1, and where the sum is above 0.1 there is a detail. In the
    official code these shares are parameters that get no gradient, because of that threshold; here they are constants.
    Its Laplacian is that of the numbers of the classes: it finds one side of a border, at times none, and the rim of
    the image. Here it is that of a pixel's own class, so that the order of the classes does not matter: it is positive
    where one of the eight neighbors is of another class.
    """

    def find_target(self, layers: Tensor) -> Tensor:
        """See _BorderLoss."""
        borders = self.find_borders(layers, 1).float()
        fused = torch.zeros_like(borders)
        for stride, share in _SHARES:
            coarse = functional.interpolate(
                borders[..., ::stride, ::stride], scale_factor=float(stride), mode="nearest"
            )
            fused += share * coarse[..., : borders.shape[2], : borders.shape[3]]
        return fused > _THRESHOLD  # which a border at each fourth pixel alone does not exceed

    def compute_loss(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """See SegmentationLoss."""
        entropy = functional.binary_cross_entropy_with_logits(logits, target, valid.float(), reduction="sum")
        probs = logits.sigmoid() * valid
        shared, total = (probs * target).sum((1, 2, 3)), (probs + target).sum((1, 2, 3))
        dice = 1 - (2 * shared + 1) / (total + 1)  # 0 for an image of ignored pixels
        return self.average(entropy, valid.sum()) + self.average(dice.sum(), valid.flatten(1).any(1).sum())
