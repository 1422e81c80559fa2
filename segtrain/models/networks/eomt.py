"""Encoder-only mask transformer (EoMT): learnable queries that go through the last blocks of a plain transformer.

Kerssies et al. 2025, https://arxiv.org/abs/2503.19108. Each query ends as a class and a mask; a pixel's score of a
class is the sum over the queries of both probabilities. Differences: the paper masks the attention of the queries at
the beginning of a training and gives that up step by step, with a loss after each of the last blocks; here, as in the
paper's inference, attention is never masked, and the last block alone has a loss. Patches of 14 pixels are kept, where
the paper resizes them to 16.
"""

import math
from typing import Any

import torch
from timm.layers import LayerNorm2d
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from segtrain.models.networks.plain import PlainEncoder


class EoMT(nn.Module):
    """Queries in the last blocks of a plain transformer of timm, for classes that exclude each other.

    Args:
        num_queries: how many masks an image can have; the paper has 100 for semantic segmentation.
        num_blocks: through how many of the last blocks queries go; the paper's numbers where it is not given: 3 of up
            to 12 blocks (small, base), 4 of up to 24 (large), 5 of more.

    Shape:
        - images: (N, in_channels, H, W), float, H and W multiples of the transformer's patch.
        - logits: (N, classes, H / logits_stride, W / logits_stride), 1/4 for patches of 16 pixels: logarithms of the
          scores, whose softmax is the share of a class in them.
        - in training also {"queries": {"classes": (N, Q, classes + 1), the last for no object, "masks": (N, Q, h, w)}}.

    Raises:
        ValueError: the encoder is not a plain transformer of timm or takes no further tokens, or has fewer blocks than
            num_blocks.
    """

    further_outputs = ("queries",)

    def __init__(
        self,
        encoder_name: str = "tu-vit_large_patch16_dinov3",
        encoder_weights: str | bool | None = None,
        in_channels: int = 3,
        classes: int = 1,
        num_queries: int = 100,
        num_blocks: int | None = None,
    ):
        super().__init__()
        self.encoder = PlainEncoder(encoder_name, encoder_weights, in_channels)
        model = self.encoder.model
        if not isinstance(model, (VisionTransformer, Eva)):
            raise ValueError(
                f"{type(model).__name__} does not accept queries in addition to its patches; use LinearHead or DPT"
            )
        depth = len(model.blocks)
        num_blocks = num_blocks or (3 if depth <= 12 else 4 if depth <= 24 else 5)
        if not 1 <= num_blocks <= depth:
            raise ValueError(
                f"num_blocks is {num_blocks}, but must be in 1..{depth}, the number of blocks of the encoder"
            )
        self.first = depth - num_blocks
        for block in model.blocks[self.first :]:
            if isinstance(model, Eva):  # whose rotary embedding leaves as many of the first tokens alone
                block.attn.num_prefix_tokens += num_queries
        patch = self.encoder.output_stride
        steps = max(round(math.log2(patch)) - 2, 1)
        self.logits_stride = patch / 2**steps
        self.decoder = _QueryHeads(self.encoder.out_channels[-1], classes, num_queries, steps)
        self.aux = nn.Identity()  # what the further output is made of serves the logits as well

    def forward(self, images: Tensor) -> Tensor | list[Any]:
        """Logits, in training a list of them and of a dict, see the class."""
        classes, masks = self.decoder(*self._encode(images))
        logits = _log_scores(classes, masks)
        if self.training and self.aux is not None:
            return [logits, {"queries": {"classes": classes, "masks": masks}}]
        return logits

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The queries (N, Q, C) and the patches (N, C, h, w) behind the last block."""
        model, rope = self.encoder.model, None
        tokens = model._pos_embed(model.patch_embed(images))
        if isinstance(model, Eva):
            tokens, rope = tokens
        tokens = model.norm_pre(tokens)
        queries = self.decoder.queries
        for index, block in enumerate(model.blocks):
            if index == self.first:
                tokens = torch.cat([queries.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
            if rope is None:
                tokens = block(tokens)
            else:
                tokens = block(tokens, rope=rope[index] if getattr(model, "rope_mixed", False) else rope)
        tokens = model.norm(tokens)
        patches = tokens[:, len(queries) + model.num_prefix_tokens :]
        grid = model.patch_embed.dynamic_feat_size(images.shape[-2:])
        return tokens[:, : len(queries)], patches.transpose(1, 2).unflatten(-1, grid)


class _QueryHeads(nn.Module):
    """The queries, and what makes classes and masks of them."""

    def __init__(self, width: int, classes: int, num_queries: int, steps: int):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, width))
        self.classes = nn.Linear(width, classes + 1)
        self.masks = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )
        self.enlarge = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(width, width, 2, stride=2),
                    nn.GELU(),
                    nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                    LayerNorm2d(width),
                )
                for _ in range(steps)
            )
        )

    def forward(self, queries: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of classes (N, Q, classes + 1) and of masks (N, Q, h, w)."""
        return self.classes(queries), torch.einsum("nqc,nchw->nqhw", self.masks(queries), self.enlarge(patches))


def _log_scores(classes: Tensor, masks: Tensor) -> Tensor:
    """log(sum over the queries of softmax(classes) * sigmoid(masks)), without the last class: (N, classes, h, w).

    The largest factors are taken out before the product, so that no score is lost for being small beside 1.
    """
    with torch.autocast(masks.device.type, enabled=False):
        of_classes = classes.float().log_softmax(-1)[..., :-1]
        of_masks = functional.logsigmoid(masks.float())
        top_class, top_mask = of_classes.amax(1, keepdim=True).detach(), of_masks.amax(1, keepdim=True).detach()
        scores = torch.einsum("nqc,nqhw->nchw", (of_classes - top_class).exp(), (of_masks - top_mask).exp())
        smallest = torch.finfo(scores.dtype).tiny
        return scores.clamp(min=smallest).log() + top_class.transpose(1, 2).unsqueeze(-1) + top_mask
