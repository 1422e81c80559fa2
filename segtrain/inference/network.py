"""Networks: what turns images into probabilities, a trained model of torch or an exported form of it; and the way from
logits to labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.config.schema import Config
from segtrain.devices import autocast, resolve_precision
from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.task import Task
from segtrain.models.model import SegmentationModel, build_model, drop_auxiliary


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

    `trained` is what its checkpoint says of its training: epoch, monitor, metrics, definition and origin, as far as it
    does.
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


def rebuild(
    config: Config,
    state: dict[str, Tensor] | None,
    path: Path,
    *,
    device: torch.device,
    precision: str | None,
    trained: Mapping[str, Any] | None = None,
) -> TorchNetwork:
    """The network of a configuration that `read_config` has checked, with the weights of a state dict.

    Args:
        config: says what the model is; no pretrained weights are loaded.
        state: weights and buffers of the SegmentationModel.
        path: of the file that they are from, for errors.
        device: where the network computes.
        precision: to compute in; None takes that of the training.
        trained: see TorchNetwork.

    Raises CheckpointError where the weights are not this model's.
    """
    model = build_model(config.model, channels=config.data.channels, outputs=len(config.data.classes), pretrained=False)
    try:
        model.load_state_dict(drop_auxiliary(state))
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = reason_of(error, line=-1)
        raise CheckpointError(f"{path}: its weights do not match its configuration: {reason}") from error
    dtype = resolve_precision(precision or config.train.precision, device)
    return TorchNetwork(model, config, device=device, dtype=dtype, trained=trained)


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


def resize_probabilities(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Probabilities or logits (N, K, H, W) at another size (H, W)."""
    if probabilities.shape[-2:] == size:
        return probabilities
    return functional.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)


def choose_labels(probabilities: Tensor, task: Task) -> Tensor:
    """Class indices (N, H, W) int64 of probabilities (N, task.outputs, H, W): the most probable one, or 1 where a
    single class reaches its threshold; in multilabel layers (N, classes, H, W) of 0 and 1."""
    if task.mode == "multiclass":
        return probabilities.max(1).indices  # as argmax, several times as fast on a CPU
    there = reach_thresholds(probabilities, task).long()
    return there if task.mode == "multilabel" else there[:, 0]


def reach_thresholds(probabilities: Tensor, task: Task) -> Tensor:
    """Where each class is there: bool of the shape of the probabilities (N, task.outputs, H, W)."""
    return probabilities >= probabilities.new_tensor(task.thresholds).view(1, -1, 1, 1)
