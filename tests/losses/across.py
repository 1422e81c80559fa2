"""For torchrun: each process has a part of a batch. Prints how many losses were compared, and those whose value or
gradient is not that of the whole batch."""

import sys
from types import SimpleNamespace

import torch
from torch import Tensor

from segtrain.config.libraries import find
from segtrain.distributed import joined, rank, size, sum_all
from segtrain.losses import LOSSES
from segtrain.losses.build import build_loss

CLASSES, BATCH, SIDE = 4, 4, 12
TRIED = [
    *((name, {}) for name in LOSSES),
    ("CrossEntropyLoss", {"ohem": 0.3, "min_kept": 0.1}),
    ("CrossEntropyLoss", {"class_weights": [1.0, 2.0, 3.0, 4.0]}),
    ("LovaszLoss", {"per_image": True}),
    ("torch.nn.CrossEntropyLoss", {}),
    ("segmentation_models_pytorch.losses.DiceLoss", {}),
]
MODES = ("multiclass", "binary", "multilabel")


def draw(mode: str) -> tuple[Tensor, Tensor]:
    """A batch; far more of the first images is ignored than of the last."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 1 if mode == "binary" else CLASSES, SIDE, SIDE, generator=generator)
    shape = images.shape if mode == "multilabel" else (BATCH, SIDE, SIDE)
    mask = torch.randint(0, CLASSES if mode == "multiclass" else 2, shape, generator=generator)
    mask[0, ..., :9] = mask[1] = 255
    return images, mask


def differentiate(name: str, arguments: dict, mode: str, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a network with one weight a channel, and the gradient of these."""
    term = SimpleNamespace(coef=1.0, from_epoch=0, arguments=arguments)
    loss = build_loss({name: term}, mode=mode, ignore_index=255, class_statistics=None)
    weight = torch.ones(images.shape[1], 1, 1, requires_grad=True)
    logits = images * weight
    queries = {"classes": logits.mean(3)[..., : CLASSES + 1], "masks": logits}
    outputs = [logits, {"presence": logits.mean((2, 3)), "edges": logits[:, :1], "queries": queries}]
    value = loss(outputs, mask, 0)[0]
    return value.detach(), torch.autograd.grad(value, weight)[0]


def main() -> None:
    """Compare all."""
    cases = [
        (*tried, mode)
        for tried in TRIED
        for mode in MODES
        if mode in getattr(find("loss", tried[0]), "modes", MODES[:1])
    ]
    wanted = [differentiate(name, arguments, mode, *draw(mode)) for name, arguments, mode in cases]
    with joined():
        part = slice(rank() * BATCH // size(), (rank() + 1) * BATCH // size())
        wrong = []
        for (name, arguments, mode), (value, gradient) in zip(cases, wanted, strict=True):
            images, mask = draw(mode)
            got, own = differentiate(name, arguments, mode, images[part], mask[part])
            mean = sum_all(own) / size()
            if not torch.allclose(got, value, rtol=1e-5) or not torch.allclose(mean, gradient, rtol=1e-4, atol=1e-6):
                wrong.append((name, mode, float(got - value), float((mean - gradient).abs().max())))
        print(f"{len(cases)} compared by {size()} processes, {wrong} differ")


if __name__ == "__main__":
    sys.exit(main())
