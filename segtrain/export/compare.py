"""Whether an exported form gives what the network gives."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segtrain.data.dataset import read_sample
from segtrain.data.layers import build_decoder
from segtrain.data.sample import SampleTable
from segtrain.experiment import Config
from segtrain.export.images import batches_of, read_prepared, spread
from segtrain.export.options import ExportError
from segtrain.infer import Predictor
from segtrain.infer.network import Network, TorchNetwork
from segtrain.metrics import ConfusionMatrix, LayerConfusion, compute_metrics

SCORED_IMAGES = 100
SECONDS = 300


@dataclass(frozen=True)
class Limits:
    """What passes: the largest difference of a probability, and the share of pixels whose label changes."""

    difference: float
    changed: float

    def replaced(self, *, difference: float | None, changed: float | None) -> "Limits":
        """With other limits where they are given."""
        return Limits(
            self.difference if difference is None else difference, self.changed if changed is None else changed
        )

    def __str__(self) -> str:
        return (
            f"what passes is a difference of at most {self.difference:g} (--max-difference) and {self.changed:.2%} of "
            "the labels (--max-changed)"
        )


# In 8 bits single probabilities may be anywhere on the borders between classes; labels tell.
LIMITS = {"fp32": Limits(1e-3, 1e-3), "fp16": Limits(0.05, 0.01), "int8": Limits(1.0, 0.1)}


@dataclass(frozen=True)
class Difference:
    """What was found.

    Args:
        largest: difference of a probability; 0 where the form gives labels.
        where: shape (N, C, H, W) of the images that have it.
        changed: number of labels that differ.
        labels: number of labels.
        shapes: number of shapes that the images had.
    """

    largest: float
    where: tuple[int, ...]
    changed: int
    labels: int
    shapes: int

    @property
    def share(self) -> float:
        """Share of the labels that change."""
        return self.changed / self.labels

    def within(self, limits: Limits) -> bool:
        """Whether it passes; what is no number does not."""
        return self.largest <= limits.difference and self.share <= limits.changed

    def __str__(self) -> str:
        shape = "{0} x {2} x {3} pixels".format(*self.where)
        return (
            f"largest difference in probability {self.largest:.2g} (at {shape}), "
            f"{self.share:.4%} of {self.labels:,} labels change, on images of {self.shapes} shapes"
        )


def compare(network: TorchNetwork, exported: Network, paths: Iterable[Path], *, labels: bool) -> Difference:
    """Compare on image files, each in batches of several sizes, or of exported.input_size where it takes no other.

    With `labels` the form gives labels, and only they are compared. Of a form that is slow on this device some of the
    images are left out. Raises ExportError where the form fails.
    """
    mine, theirs = Predictor([network]), Predictor([exported])
    largest, where, changed, count, shapes = -1.0, (), 0, 0, set()
    for path in _while_there_is_time(paths):
        for images in batches_of(read_prepared(path, network.task), exported.input_size):
            expected, given = network.probabilities(images), _run(exported, images)
            found = 0.0 if labels else float((given - expected).abs().max())
            if not found <= largest:  # the first one, a larger one, or no number at all
                largest, where = found, tuple(images.shape)
            differing = mine.labels(expected) != theirs.labels(given)
            changed += int(differing.sum())
            count += differing.numel()
            shapes.add(images.shape)
    return Difference(largest, where, changed, count, len(shapes))


def compute_mious(networks: Sequence[Network], samples: SampleTable, config: Config) -> tuple[list[float], int]:
    """Mean IoU of each network, as training counts it, on up to SCORED_IMAGES of the samples; and their number."""
    predictors, decoder = [Predictor([network]) for network in networks], build_decoder(config.data)
    task = predictors[0].task
    count_pixels = LayerConfusion if task.mode == "multilabel" else ConfusionMatrix
    confusions = [count_pixels(len(task.names), ignore_index=task.ignore_index) for _ in networks]
    number = 0
    for sample in _while_there_is_time(spread(samples, SCORED_IMAGES)):
        image, mask = read_sample(sample, decoder, task.image_options)
        for predictor, confusion in zip(predictors, confusions, strict=True):
            prediction = torch.from_numpy(predictor.predict(image))[None]
            confusion.update(prediction, torch.from_numpy(mask.astype(np.int64))[None])
        number += 1
    return [compute_metrics(confusion.matrix.numpy(), task.names)["miou"] for confusion in confusions], number


def _while_there_is_time(items: Iterable) -> Iterator:
    """The first item and as many others as begin within SECONDS: halves on a processor that does not compute in them
    take a minute for an image."""
    started = time.monotonic()
    for place, item in enumerate(items):
        if place and time.monotonic() - started > SECONDS:
            return
        yield item


def _run(exported: Network, images: Tensor) -> Tensor:
    try:
        parts = images.split(exported.batch_size or len(images))
        return torch.cat([exported.probabilities(part) for part in parts])
    except Exception as error:  # every runtime has classes of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        shape = "{0} x {2} x {3} pixels".format(*images.shape)
        raise ExportError(f"what was exported fails on {shape}: {reason[0][:200]}; write --size H W") from error
