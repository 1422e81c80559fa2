"""Predictor: from images to predictions, the same way in validation, in every command and in your own code."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtrain.data.dataset import Batch, images_to_tensor
from segtrain.data.transforms import apply_eval, build_eval_transform, resized
from segtrain.errors import CheckpointError, ConfigError
from segtrain.inference.load import load_network
from segtrain.inference.network import Network, choose_labels, reach_thresholds, resize_probabilities
from segtrain.inference.options import InferOptions
from segtrain.inference.task import Task
from segtrain.inference.tiles import blend_strips, pad_to, predict_tiles
from segtrain.inference.views import average_views

STRIDE = 32  # most encoders pad both sides to multiples of it
ReadRows = Callable[[int, int], np.ndarray]


class Predictor:
    """One network or several, applied to images of any size.

    Args:
        networks: at least one; several must agree in their classes and in the images that they accept.
        options: tiles, views, votes, weights and thresholds.
        names: the names of the networks in messages.

    `task` is that of the first network, with the thresholds of the options. `gives_labels` says that one of them
    returns labels: its probabilities are 0 and 1 and, over views, tiles and models, the share of their votes. Raises
    CheckpointError for networks that cannot be combined and ConfigError for options that do not suit them.
    """

    def __init__(self, networks: Sequence[Network], options: InferOptions | None = None, *, names: Sequence[str] = ()):
        self.networks = list(networks)
        self.options = options or InferOptions()
        weights = self.options.weights or (1.0,) * len(self.networks)
        if len(weights) != len(self.networks):
            raise ConfigError(f"--weights has {len(weights)} numbers for {len(self.networks)} models")
        self.weights = [weight / sum(weights) for weight in weights]
        self.gives_labels = any(network.gives_labels for network in self.networks)
        if self.gives_labels and self.options.thresholds is not None:
            raise ConfigError("--threshold: a model returns labels, not probabilities; export it without --labels")
        self.tasks = self._agreed_tasks(names or [f"model {number}" for number, _ in enumerate(self.networks, 1)])
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
        trust: bool = False,
    ) -> "Predictor":
        """Load run folders (their best.pt), checkpoints or exported files; several form an ensemble.

        Args:
            sources: their paths.
            device: see load_network, like `precision` and `trust`.
            precision: precision of the computation.
            options: tiles, views, votes, weights and thresholds.
            trust: also load exported programs, which may run any code.

        Raises CheckpointError for anything else, and for models with different classes.
        """
        networks = [load_network(source, device=device, precision=precision, trust=trust) for source in sources]
        return cls(networks, options, names=[str(source) for source in sources])

    def probabilities(self, images: Sequence[np.ndarray]) -> Tensor:
        """Probabilities (N, task.outputs, H, W) float32 on `device`, for images of the same size.

        Args:
            images: HWC uint8, 0..255, or float32 in 0..1, as read_image returns them if task.scale is set.

        With options.vote they are the share of the votes; ties are broken by the mean probability.
        """
        size, each = images[0].shape[:2], []
        for network, transform in zip(self.networks, self.transforms, strict=True):
            prepared = images_to_tensor([apply_eval(transform, image) for image in images]).to(self.device)
            apply = functools.partial(self._in_views, network)
            probabilities = predict_tiles(prepared, apply, **self._tiling) if self._tiling else apply(prepared)
            each.append(resize_probabilities(probabilities, size))
        return self._combine(each)

    def count_pixels(self, size: tuple[int, int]) -> int:
        """The largest number of pixels that an image of this size (H, W) has: as it is, and as each network receives
        it, resized by transforms.val, in its largest view, and padded to a tile, to the size of an exported model, or
        for the encoder."""
        counts, scale = [math.prod(size)], max(self.options.scales)
        for network, transform in zip(self.networks, self.transforms, strict=True):
            given = [round(scale * side) for side in resized(transform, size)]
            tile = (self.options.tile_px,) * 2 if self.options.tile_px else network.input_size
            if tile is not None:
                counts.append(math.prod(max(pair) for pair in zip(given, tile, strict=True)))
            else:
                counts.append(math.prod(-(-side // STRIDE) * STRIDE for side in given))
        return max(counts)

    def strips(self, read_rows: ReadRows, size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
        """Probabilities of an image that does not have to fit in memory.

        Args:
            read_rows: (top, bottom) -> these rows of the image, HWC as in `probabilities`. It is called for the same
                rows once per network, one call after another.
            size: height and width of the image.

        Yields (first row, probabilities (1, task.outputs, rows, W)), every row once, in order; the next strip
        overwrites them. They equal those of `probabilities` for the entire image. Raises ConfigError if the options
        have no tile, or if transforms.val needs the entire image.
        """
        if not self._tiling:
            raise ConfigError("an image that is read in strips needs --tile")
        if names := [str(item) for task in self.tasks for item in task.transforms]:
            raise ConfigError(
                f"an image that is read in strips does not support transforms.val, which contains {names[0]}"
            )

        def read_tensor(top: int, bottom: int) -> Tensor:
            return images_to_tensor([read_rows(top, bottom)]).to(self.device)

        views = [functools.partial(self._in_views, network) for network in self.networks]
        parts = [blend_strips(read_tensor, size, apply, **self._tiling) for apply in views]
        for pieces in zip(*parts, strict=True):
            yield pieces[0][0], self._combine([probabilities for _, probabilities in pieces])

    @property
    def _tiling(self) -> dict[str, Any]:
        tile_px = self.options.tile_px
        rest = {"overlap": self.options.overlap, "batch_size": self.options.batch_size}
        return {} if tile_px is None else {"tile": (tile_px, tile_px), **rest}

    def _in_views(self, network: Network, images: Tensor) -> Tensor:
        """Probabilities (N, K, H, W) of one network for images (N, C, H, W), in the views of the options."""
        apply = functools.partial(_at_any_size, network)
        return average_views(images, apply, scales=self.options.scales, flip=self.options.flip).to(self.device)

    def _combine(self, each: Sequence[Tensor]) -> Tensor:
        """The mean or the vote of every network's probabilities."""
        if self.options.vote:
            each = [_votes(probabilities, task) for probabilities, task in zip(each, self.tasks, strict=True)]
        if len(each) == 1:
            return each[0]
        return sum(weight * probabilities for weight, probabilities in zip(self.weights, each, strict=True))

    def labels(self, probabilities: Tensor) -> Tensor:
        """Class indices or, in multilabel, layers (see choose_labels), with the thresholds of `task`."""
        return choose_labels(probabilities, self.task)

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The prediction, HW int64 class indices or, in multilabel, CHW layers of 0 and 1, for an image of any size:
        HWC uint8, 0..255, or float32 in 0..1, as read_image returns it if task.scale is set."""
        return self.label_batch([image])[0].cpu().numpy()

    def label_batch(self, images: Sequence[np.ndarray], *, dtype: torch.dtype = torch.int64) -> Tensor:
        """The predictions (N, H, W) or, in multilabel, (N, C, H, W), of images of the same size, as in `predict`, on
        `device`, which may still be computing them, or on the CPU."""
        return self.apply_to_batch(images, lambda probabilities: self.labels(probabilities).to(dtype))[0]

    def apply_to_batch(self, images: Sequence[np.ndarray], *functions: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The result of each function for the probabilities (N, K, H, W) of images of the same size, pixel by pixel:
        (N, .., H, W), on `device` or on the CPU. With tiles, only the probabilities of one row of tiles are in
        memory."""
        if not self._tiling or any(task.transforms for task in self.tasks):
            probabilities = self.probabilities(images)
            return [function(probabilities) for function in functions]
        made = []
        for image in images:
            strips = self.strips(lambda top, bottom, image=image: image[top:bottom], image.shape[:2])
            rows = [[function(strip).to("cpu") for function in functions] for _, strip in strips]
            made.append([torch.cat(parts, dim=-2) for parts in zip(*rows, strict=True)])
        return [torch.cat(parts) for parts in zip(*made, strict=True)]

    def predict_group(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The predictions of a group of RawSamples, as in `labels`, and their confidences for `score`.

        These are (N, K, H, W) float32 in 0..1: in multiclass the probability of the predicted class (K = 1), otherwise
        that of each class; None if a vote or a model that returns labels leaves no probabilities.
        """
        probabilities = self.probabilities(list(batch["image"].numpy()))
        prediction = self.labels(probabilities)
        if self.options.vote or self.gives_labels:
            return prediction, None
        top = self.task.mode == "multiclass"
        return prediction, probabilities.amax(1, keepdim=True) if top else probabilities

    def _agreed_tasks(self, names: Sequence[str]) -> list[Task]:
        """The networks' tasks, with the thresholds of the options where they have some."""
        tasks = [network.task for network in self.networks]
        for name, task in zip(names, tasks, strict=True):
            if difference := tasks[0].difference(task):
                raise CheckpointError(f"{name}: has {difference[0]}, but {names[0]} has {difference[1]}")
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
    if task.mode == "multiclass":
        votes = torch.zeros_like(probabilities).scatter_(1, probabilities.max(1, keepdim=True).indices, 1.0)
        return votes * (1 - TIE_BREAK) + probabilities * TIE_BREAK
    votes = reach_thresholds(probabilities, task)
    thresholds = probabilities.new_tensor(task.thresholds).view(1, -1, 1, 1)
    below, above = probabilities / thresholds, (probabilities - thresholds) / (1 - thresholds)
    sure = torch.where(votes, 1 + above.nan_to_num(1.0), below.nan_to_num(0.0)) / 2  # a threshold is level
    return votes.float() * (1 - TIE_BREAK) + sure * TIE_BREAK


def _at_any_size(network: Network, images: Tensor) -> Tensor:
    """Probabilities of a network that may accept only images of one size and number."""
    size, tile = tuple(images.shape[-2:]), network.input_size
    apply = functools.partial(_in_batches, network)
    if tile is None or size == tile:
        return apply(images)
    padded = pad_to(images, (max(size[0], tile[0]), max(size[1], tile[1])))
    batch_size = network.batch_size or len(images)
    probabilities = predict_tiles(padded, apply, tile=tile, overlap=InferOptions.overlap, batch_size=batch_size)
    return probabilities[:, :, : size[0], : size[1]]


def _in_batches(network: Network, images: Tensor) -> Tensor:
    size, parts = network.batch_size, []
    for part in images.split(size or len(images)):
        missing = (size or len(part)) - len(part)
        filled = torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing else part
        parts.append(network.probabilities(filled)[: len(part)])
    return torch.cat(parts) if len(parts) > 1 else parts[0]
