"""Matching of predicted masks with those of the classes in an image, for networks with queries like EoMT.

Cheng et al. 2022 (Mask2Former), https://arxiv.org/abs/2112.01527, for semantic segmentation: every class that occurs in
an image is one mask. Costs and losses are computed on all pixels at the size of the predicted masks, where the paper
draws points.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from segtrain.losses.base import SegmentationLoss, check_range, divide, nearest


class MaskMatchingLoss(SegmentationLoss):
    """Each class of an image is given to the query that costs least; the others learn to be no object.

    The loss is class_weight * cross entropy + mask_weight * binary cross entropy + dice_weight * Dice loss; the last
    two are means over the matched masks of the batch. Matching has the same weights, with the class's probability.

    Args:
        no_object_weight: weight of no object among the classes of the cross entropy.

    Shape:
        - output: {"classes": (N, Q, C + 1), "masks": (N, Q, h, w)}, logits; the last class is no object.
        - mask: (N, H, W).
    """

    modes = ("multiclass",)
    takes = "queries"
    whole_batch = False

    def __init__(
        self,
        mode: str,
        *,
        ignore_index: int = 255,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        no_object_weight: float = 0.1,
    ):
        super().__init__(mode, ignore_index=ignore_index)
        self.class_weight = check_range("class_weight", class_weight)
        self.mask_weight = check_range("mask_weight", mask_weight)
        self.dice_weight = check_range("dice_weight", dice_weight)
        self.no_object_weight = check_range("no_object_weight", no_object_weight)

    def forward(self, output: dict[str, Tensor], mask: Tensor) -> Tensor:
        """The loss, a float32 scalar. It waits for the device once, for the costs, which are matched on the CPU."""
        classes, masks = output["classes"], output["masks"]
        target, valid = self.split(nearest(mask, masks.shape[-2:]))
        with torch.autocast(masks.device.type, enabled=False):
            logits = {"classes": classes.float(), "masks": masks.float().flatten(2)}
            return self.compute_loss(logits, target.flatten(1), valid.flatten(1))

    def compute_loss(self, logits: dict[str, Tensor], target: Tensor, valid: Tensor) -> Tensor:
        """As in the base, of logits of classes (N, Q, C + 1) and masks (N, Q, P), with target and valid (N, P)."""
        classes, masks = logits["classes"], logits["masks"]
        no_object = classes.shape[-1] - 1
        numbers = torch.arange(no_object, device=target.device).view(-1, 1)
        truth = ((target.unsqueeze(1) == numbers) & valid.unsqueeze(1)).float()  # (N, C, P)
        crossed, dice = compare_masks(masks, truth, valid.unsqueeze(1).float())
        cost = self.mask_weight * crossed + self.dice_weight * dice - self.class_weight * classes.softmax(-1)[..., :-1]
        assigned = _assign(cost.detach(), truth.any(-1)).to(classes.device)
        matched = (assigned < no_object).float()
        index = assigned.clamp(max=no_object - 1).unsqueeze(-1)
        chosen = self.mask_weight * crossed.gather(-1, index) + self.dice_weight * dice.gather(-1, index)
        of_masks = self.average((chosen.squeeze(-1) * matched).sum(), matched.sum())
        # An image of ignored pixels alone says nothing about its queries.
        weight = torch.where(matched > 0, 1.0, self.no_object_weight) * valid.any(-1, keepdim=True)
        of_classes = functional.cross_entropy(classes.transpose(1, 2), assigned, reduction="none")
        return of_masks + self.class_weight * self.average((of_classes * weight).sum(), weight.sum())


def compare_masks(masks: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross entropy, the mean over the valid pixels, and Dice loss of every pair of mask logits (N, Q, P) and
    true masks (N, C, P): (N, Q, C) both. `valid` is (N, 1, P), and truth 0 where it is 0."""
    count = valid.sum(-1, keepdim=True)
    # softplus(-x) = softplus(x) - x, so that pixels in and outside a mask need one sum.
    crossed = (functional.softplus(masks) * valid).sum(-1, keepdim=True) - masks @ truth.transpose(1, 2)
    probabilities = masks.sigmoid() * valid
    shared = probabilities @ truth.transpose(1, 2)
    total = probabilities.sum(-1, keepdim=True) + truth.sum(-1).unsqueeze(1)
    return divide(crossed, count), 1 - (2 * shared + 1) / (total + 1)


def _assign(cost: Tensor, present: Tensor) -> Tensor:
    """The class of each query (N, Q) int64, on the CPU, C for no object: of cost (N, Q, C), with present (N, C)."""
    both = torch.cat([cost, present.unsqueeze(1).to(cost.dtype)], dim=1).nan_to_num().cpu()
    assigned = torch.full(cost.shape[:2], cost.shape[-1])
    for row, table in zip(assigned, both, strict=True):
        (there,) = torch.where(table[-1] > 0)
        queries, columns = linear_sum_assignment(table[:-1, there].numpy())
        row[torch.from_numpy(queries)] = there[torch.from_numpy(columns)]
    return assigned
