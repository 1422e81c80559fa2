"""What turns images into probabilities: a trained model of torch, or an exported form of it."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segtrain.config.schema import Config
from segtrain.devices import autocast
from segtrain.inference.task import Task
from segtrain.models.model import SegmentationModel


class Network(Protocol):
    """Probabilities for a batch of images.

    `task` says what they mean. `device` is where images are best put. `input_size` is the one size (H, W) that it
    takes, or None where it takes any; `batch_size` likewise is the one number of images, or None. Where it
    `gives_labels`, its probabilities are 0 and 1, and no threshold changes them.
    """

    task: Task
    device: torch.device
    input_size: tuple[int, int] | None
    batch_size: int | None
    gives_labels: bool

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities (N, task.outputs, H, W) float32 in 0..1 on `device`, for images (N, C, H, W) of 0..255, uint8,
        or float32 where task.scale is set. In multiclass those of a pixel add up to 1."""
        ...


class TorchNetwork:
    """A SegmentationModel in evaluation mode. See Network.

    `trained` is what its checkpoint says of its training: epoch, monitor, metrics and definition, as far as it does.
    """

    input_size = None
    batch_size = None
    gives_labels = False

    def __init__(
        self,
        model: SegmentationModel,
        config: Config,
        *,
        device: torch.device,
        dtype: torch.dtype,
        trained: Mapping[str, Any] | None = None,
    ):
        layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
        self.model = model.to(device, memory_format=layout).eval()
        self.config = config
        self.task = Task.of(config)
        self.device = device
        self.dtype = dtype
        self.trained = dict(trained or {})

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, task.outputs, H, W) float32 for images as `probabilities` takes them."""
        images = images.to(self.device, non_blocking=True)
        with autocast(self.device, self.dtype):
            logits = self.model(images)
        return logits.float()

    def probabilities(self, images: Tensor) -> Tensor:
        """See Network."""
        return activate(self.logits(images), self.task.mode)


class WithActivation(nn.Module):
    """A model that gives probabilities, (N, outputs, H, W) float32: what exported graphs hold."""

    def __init__(self, model: nn.Module, mode: str):
        super().__init__()
        self.model = model
        self.mode = mode

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) of 0..255 to probabilities."""
        return activate(self.model(images).float(), self.mode)


def activate(logits: Tensor, mode: str) -> Tensor:
    """Logits (N, K, H, W) to probabilities: softmax over K in multiclass, else a sigmoid of each."""
    return logits.softmax(1) if mode == "multiclass" else logits.sigmoid()
