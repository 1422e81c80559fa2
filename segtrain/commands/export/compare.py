"""Comparison of an exported form with its network: probabilities, labels, mIoU."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from segtrain.commands.export.graph import ExportError
from segtrain.commands.export.images import batches_of, read_prepared, spread
from segtrain.config.schema import Config
from segtrain.data.dataset import RawSamples
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import EvalLoader
from segtrain.errors import reason_of
from segtrain.formats.sample import Sample, SampleTable
from segtrain.inference.network import Network, TorchNetwork
from segtrain.inference.predictor import Predictor
from segtrain.inference.score import Scored, score
from segtrain.metrics import compute_metrics

SCORED_IMAGES = 100
SECONDS = 300


@dataclass(frozen=True)
class Limits:
    """What passes: the largest difference of a probability, the share of labels that change, and the mIoU that is lost,
    0..1 each. The last is the one that sees a class of few pixels go."""

    difference: float
    changed: float
    loss: float

    def explain(self, found: "Difference") -> str:
        """What is beyond the limits; empty where all passes. NaN does not pass."""
        reasons = []
        if found.largest is not None and not found.largest <= self.difference:
            reasons.append(
                f"a probability differs by {found.largest:.4g}, but at most {self.difference:g} is accepted "
                f"(--max-difference)"
            )
        if found.share > self.changed:
            reasons.append(
                f"{found.share:.4%} of the labels change, but at most {100 * self.changed:g}% may (--max-changed)"
            )
        return ", and ".join(reasons)

    def explain_loss(self, before: float, after: float) -> str:
        """As `explain`, of two mIoU. Where no pixel is labeled both are NaN, and nothing is lost."""
        if not before - after > self.loss:
            return ""
        return f"{before - after:.4f} of mIoU is lost, but at most {self.loss:g} is accepted (--max-loss)"


# In 8 bits single probabilities may be anywhere on the borders between classes; labels and the score tell.
LIMITS = {"fp32": Limits(1e-3, 1e-3, 0.0), "fp16": Limits(0.05, 0.01, 0.02), "int8": Limits(1.0, 0.1, 0.05)}


@dataclass(frozen=True)
class Difference:
    """What was found.

    Args:
        largest: difference of a probability; None where the form gives labels.
        where: shape (N, C, H, W) of the images that have it.
        changed: number of labels that differ.
        labels: number of labels.
        shapes: number of shapes that the batches had.
    """

    largest: float | None
    where: tuple[int, ...]
    changed: int
    labels: int
    shapes: int

    @property
    def share(self) -> float:
        """Share of the labels that change."""
        return self.changed / self.labels

    def __str__(self) -> str:
        labels = f"{self.share:.4%} of {self.labels:,} labels change, in batches of {self.shapes} shapes"
        if self.largest is None:
            return labels
        shape = "{0} x {2} x {3} pixels".format(*self.where)
        return f"largest difference in probability {self.largest:.2g} (at {shape}), {labels}"


def compare(network: TorchNetwork, exported: Network, paths: Iterable[Path]) -> Difference:
    """Compare on image files, each in batches of several sizes, or of exported.input_size where it takes no other.

    Of a form that gives labels, only labels are compared. Of a form that is slow on this device, some images are left
    out. Raises ExportError where the form fails.
    """
    mine, theirs = Predictor([network]), Predictor([exported])
    largest, where, changed, count, shapes = None, (), 0, 0, set()
    for path in _while_there_is_time(paths):
        for images in batches_of(read_prepared(path, network.task), exported.input_size):
            expected, given = network.probabilities(images), _run(exported, images)
            found = None if exported.gives_labels else float((given - expected).abs().max())
            if found is not None and (largest is None or found > largest or math.isnan(found)):
                largest, where = found, tuple(images.shape)
            differing = mine.labels(expected) != theirs.labels(given)
            changed += int(differing.sum())
            count += differing.numel()
            shapes.add(images.shape)
    return Difference(largest, where, changed, count, len(shapes))


def compute_mious(networks: Sequence[Network], samples: SampleTable, config: Config) -> tuple[list[float], int]:
    """Mean IoU of a network and of what was exported, as training counts it, on up to SCORED_IMAGES of the samples; and
    their number, smaller where the exported form is slow."""
    network, exported = networks
    task, scored = network.task, []

    def batches(chosen: Sequence[Sample]) -> EvalLoader:
        dataset = RawSamples(chosen, build_decoder(config.data), image_options=task.image_options)
        return EvalLoader(dataset, batch_size=1, workers=0, pin_memory=False)

    def compute_miou(network: Network, batches: Iterable, see: Callable[[Scored], None] | None = None) -> float:
        predictor = Predictor([network])
        matrix = score(predictor.predict_group, batches, task, device=predictor.device, see=see)
        return compute_metrics(matrix, task.names)["miou"]

    chosen = spread(samples, SCORED_IMAGES)
    after = compute_miou(exported, _while_there_is_time(batches(chosen)), scored.append)
    return [compute_miou(network, batches(chosen[: len(scored)])), after], len(scored)


def _while_there_is_time(items: Iterable) -> Iterator:
    """The first item and as many others as begin within SECONDS: halves on a processor that does not compute in them
    take a minute for an image."""
    started = time.monotonic()
    for index, item in enumerate(items):
        if index and time.monotonic() - started > SECONDS:
            return
        yield item


def _run(exported: Network, images: Tensor) -> Tensor:
    try:
        parts = images.split(exported.batch_size or len(images))
        return torch.cat([exported.probabilities(part) for part in parts])
    except Exception as error:  # of a runtime, or of ExportedNetwork because of one
        shape = "{0} x {2} x {3} pixels".format(*images.shape)
        advice = "--size H W" if exported.input_size is None else "another --to"
        # What TorchScript and OpenVINO say before their last line is where they were.
        reason = reason_of(error.__cause__ or error, line=-1)
        raise ExportError(f"the exported model fails on {shape}: {reason}; write {advice}") from error
