"""From images to predictions, the same way in validation, in prediction and in your own code."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segtrain.data.dataset import images_to_tensor
from segtrain.errors import CheckpointError, ConfigError
from segtrain.infer.load import load_network
from segtrain.infer.network import Network
from segtrain.infer.tiles import pad_to, predict_tiles
from segtrain.infer.views import average_views, resize_probabilities
from segtrain.infer_options import InferOptions
from segtrain.task import Task
from segtrain.transforms import apply_eval, build_eval_transform


class Predictor:
    """One network or several, applied to images of any size.

    Args:
        networks: at least one; where there are more, their classes and the images they take are the same.
        options: tiles, views, votes, weights and thresholds.

    `task` is the first network's, with the thresholds of the options. Raises CheckpointError for networks that do not
    go together, ConfigError for options that do not suit them.
    """

    def __init__(self, networks: Sequence[Network], options: InferOptions | None = None):
        self.networks = list(networks)
        self.options = options or InferOptions()
        weights = self.options.weights or (1.0,) * len(self.networks)
        if len(weights) != len(self.networks):
            raise ConfigError(f"--weights has {len(weights)} numbers for {len(self.networks)} models")
        self.weights = [weight / sum(weights) for weight in weights]
        self.tasks = self._agreed_tasks()
        self.task = self._common_task()
        self.device = self.networks[0].device
        self.transforms = [build_eval_transform(task.transforms) for task in self.tasks]

    @classmethod
    def load(
        cls,
        *sources: Path | str,
        device: str = "auto",
        precision: str | None = None,
        options: InferOptions | None = None,
    ) -> "Predictor":
        """From run folders (their best.pt), checkpoints or exported files; several are an ensemble.

        Raises CheckpointError for what is none of these, and for models of differing classes.
        """
        networks = [load_network(source, device=device, precision=precision) for source in sources]
        for source, network in zip(sources, networks, strict=True):
            if difference := _difference(networks[0].task, network.task):
                raise CheckpointError(f"{source}: {difference[1]}, but {sources[0]} {difference[0]}")
        return cls(networks, options)

    def probabilities(self, images: Sequence[np.ndarray]) -> Tensor:
        """Probabilities (N, task.outputs, H, W) float32 on `device`, for images of one size.

        Args:
            images: HWC uint8, 0..255, or float32 in 0..1 as read_image gives them where task.scale is set.

        With options.vote the numbers are the share of the votes, ties broken by the mean probability.
        """
        size = images[0].shape[:2]
        total: Tensor | None = None
        for place, (network, transform) in enumerate(zip(self.networks, self.transforms, strict=True)):
            prepared = images_to_tensor([apply_eval(transform, image) for image in images]).to(self.device)
            probabilities = resize_probabilities(self.apply(network, prepared).to(self.device), size)
            if self.options.vote:
                probabilities = _votes(probabilities, self.tasks[place])
            if len(self.networks) > 1:
                probabilities = probabilities * self.weights[place]
            total = probabilities if total is None else total + probabilities
        return total

    def apply(self, network: Network, images: Tensor) -> Tensor:
        """Probabilities of one network for images (N, C, H, W) as it takes them, in tiles and views by the options."""

        def in_views(images: Tensor) -> Tensor:
            return average_views(
                images, lambda view: _at_any_size(network, view), scales=self.options.scales, flip=self.options.flip
            )

        tile_px = self.options.tile_px
        if tile_px is None:
            return in_views(images)
        return predict_tiles(
            images,
            in_views,
            tile=(tile_px, tile_px),
            overlap=self.options.overlap,
            batch_size=self.options.batch_size,
        )

    def labels(self, probabilities: Tensor) -> Tensor:
        """Class indices (N, H, W) int64 of probabilities (N, task.outputs, H, W): the most probable one, or 1 where a
        single class reaches its threshold; in multilabel layers (N, classes, H, W) of 0 and 1."""
        if self.task.mode == "multiclass":
            return probabilities.argmax(1)
        there = _reached(probabilities, self.task.thresholds).long()
        return there if self.task.mode == "multilabel" else there[:, 0]

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The prediction, HW int64 class indices, or in multilabel CHW layers of 0 and 1, for an image of any size: HWC
        uint8, 0..255, or float32 in 0..1 as read_image gives it where task.scale is set."""
        return self.labels(self.probabilities([image]))[0].cpu().numpy()

    def _agreed_tasks(self) -> list[Task]:
        """The networks' tasks, with the thresholds of the options where they have some."""
        tasks = [network.task for network in self.networks]
        for task in tasks:
            if difference := _difference(tasks[0], task):
                raise CheckpointError(f"the models of an ensemble differ: one {difference[0]}, another {difference[1]}")
        given = self.options.thresholds
        if given is None:
            return tasks
        return [task.with_thresholds(list(given) * (task.outputs if len(given) == 1 else 1)) for task in tasks]

    def _common_task(self) -> Task:
        if self.options.vote:  # the thresholds are applied to each model; what is left are shares of votes
            return self.tasks[0].with_thresholds([0.5 for _ in self.tasks[0].thresholds])
        columns = zip(*(task.thresholds for task in self.tasks), strict=True)
        means = [sum(w * value for w, value in zip(self.weights, column, strict=True)) for column in columns]
        return self.tasks[0].with_thresholds([min(mean, 1.0) for mean in means])


TIE_BREAK = 1e-4  # the weight of probabilities beside whole votes: they decide only where the votes are level


def _votes(probabilities: Tensor, task: Task) -> Tensor:
    if task.mode != "multiclass":
        return _reached(probabilities, task.thresholds).float()
    votes = torch.zeros_like(probabilities).scatter_(1, probabilities.argmax(1, keepdim=True), 1.0)
    return votes * (1 - TIE_BREAK) + probabilities * TIE_BREAK


def _reached(probabilities: Tensor, thresholds: Sequence[float]) -> Tensor:
    return probabilities >= probabilities.new_tensor(thresholds).view(1, -1, 1, 1)


def _at_any_size(network: Network, images: Tensor) -> Tensor:
    """Probabilities of a network that may take images of one size and number only."""
    if network.batch_size is None:
        apply = network.probabilities
    else:

        def apply(images: Tensor) -> Tensor:
            return _in_batches(network, images)

    if network.input_size is None or tuple(images.shape[-2:]) == network.input_size:
        return apply(images)
    height, width = images.shape[-2:]
    tile = network.input_size
    padded = pad_to(images, (max(height, tile[0]), max(width, tile[1])))
    batch_size = network.batch_size or len(images)
    probabilities = predict_tiles(padded, apply, tile=tile, overlap=InferOptions.overlap, batch_size=batch_size)
    return probabilities[:, :, :height, :width]


def _in_batches(network: Network, images: Tensor) -> Tensor:
    size, parts = network.batch_size, []
    for first in range(0, len(images), size):
        part = images[first : first + size]
        filled = torch.cat([part, part[-1:].expand(size - len(part), -1, -1, -1)]) if len(part) < size else part
        parts.append(network.probabilities(filled)[: len(part)])
    return torch.cat(parts)


def _difference(one: Task, other: Task) -> tuple[str, str] | None:
    """What keeps two tasks from being one ensemble, as each has it; None where nothing does."""
    for what, key in (("mode", "mode"), ("classes", "names"), ("image channels", "image_options")):
        mine, theirs = getattr(one, key), getattr(other, key)
        if mine != theirs:
            return f"has {what} {_show(mine)}", f"has {what} {_show(theirs)}"
    return None


def _show(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
