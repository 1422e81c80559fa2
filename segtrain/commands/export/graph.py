"""Graph: the network as other runtimes can run it, and how it is traced."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.fx.experimental._config as shape_options
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segtrain.commands.export.layers import replace_same_padding
from segtrain.errors import SegtrainError, reason_of
from segtrain.inference.network import TorchNetwork, WithActivation
from segtrain.inference.runtimes.exported import Note, quiet
from segtrain.inference.task import Task
from segtrain.models.model import SegmentationModel


class ExportError(SegtrainError):
    """A network cannot be written in the form that was asked for."""


@dataclass(frozen=True)
class ExportOptions:
    """What a form of the network is to be like; see the flags of the command.

    Args:
        labels: class indices instead of probabilities come out.
        precision: of the weights and, as far as the form allows, of the computation.
        size: the one size (H, W) of the images; None leaves it open.
        calibration: gives up to 128 training images (1, C, H, W) as the network takes them, of `size` where that is
            given, one after the other and each time from the start; for int8.
        push: repository of a model hub that the model card names.
        license: of the weights, for model cards.
    """

    labels: bool
    precision: Literal["fp32", "fp16", "int8"]
    size: tuple[int, int] | None
    calibration: Callable[[], Iterator[Tensor]]
    push: str | None = None
    license: str | None = None

    @property
    def output(self) -> Literal["probabilities", "labels"]:
        """What the graph gives."""
        return "labels" if self.labels else "probabilities"

    def note(self, task: Task, *, batch_size: int | None = None) -> Note:
        """What the form says about itself; `batch_size` where it takes only that number of images."""
        return Note(
            task=task, output=self.output, precision=self.precision, input_size=self.size, batch_size=batch_size
        )


class Graph(nn.Module):
    """Normalization, padding, the network, and what makes of its logits what a Note calls `output`, where the shapes
    of images and of what comes out are said.

    It holds a copy of the network, in the order of memory that every runtime has. In fp16 the weights of smp's network
    are halves, and what goes through it; normalization and activation stay in float32.
    """

    def __init__(self, network: TorchNetwork, options: ExportOptions):
        super().__init__()
        # The layout of channels_last would leave conditions on the number of images in a traced graph.
        model = copy.deepcopy(network.model).to(memory_format=torch.contiguous_format)
        replace_same_padding(model.net)
        if options.precision == "fp16":
            model.net.half().register_forward_pre_hook(lambda _, arguments: (arguments[0].half(),))
        self.probabilities = WithActivation(model, network.task.mode)
        self.mode = network.task.mode
        self.labels = options.labels
        self.label_type = torch.uint8 if network.task.outputs <= 256 else torch.int32
        self.register_buffer("thresholds", torch.tensor(network.task.thresholds).view(1, -1, 1, 1))
        self.requires_grad_(False).eval()

    @property
    def model(self) -> SegmentationModel:
        """The copy."""
        return self.probabilities.model

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        probabilities = self.probabilities(images)
        if not self.labels:
            return probabilities
        if self.mode == "multiclass":
            return probabilities.argmax(1).to(self.label_type)
        there = (probabilities >= self.thresholds).to(self.label_type)
        return there if self.mode == "multilabel" else there[:, 0]


def example_images(network: TorchNetwork, options: ExportOptions) -> Tensor:
    """Two noise images (2, C, H, W) to trace a graph with: of options.size, else of sides that the stride does not
    divide."""
    model = network.model
    side = max(model.stride, model.minimum_side)
    size = options.size or (2 * side + 11, 3 * side + 5)
    images = torch.randint(0, 256, (2, network.task.channels, *size), generator=torch.Generator().manual_seed(0))
    return images.to(torch.uint8 if network.task.scale is None else torch.float32)


def trace_program(graph: Graph, network: TorchNetwork, options: ExportOptions) -> ExportedProgram:
    """The graph for any number of images, of any size unless options.size is given.

    Raises ExportError where the network computes with sizes in ways that cannot be traced.
    """
    free = (0,) if options.size else (0, 2, 3)
    # Without it, sides of one pixel deep in the network would be told apart from others, and small images refused.
    with shape_options.patch(backed_size_oblivious=True), quiet(), explained_failure(network, options):
        shapes = ({axis: Dim.DYNAMIC for axis in free},)
        return torch.export.export(graph, (example_images(network, options),), dynamic_shapes=shapes, strict=False)


@contextmanager
def explained_failure(network: TorchNetwork, options: ExportOptions) -> Iterator[None]:
    """Raise ExportError, with what to write instead, for whatever an exporter or the code of a network raises where
    something has no translation."""
    try:
        yield
    except (SegtrainError, OSError):
        raise
    except Exception as error:
        model, reason = network.config.model, reason_of(error)
        extent, advice = "of any size", "write --size H W, the size you need"
        if options.size:
            extent, advice = "of one size", "write another --to or train another encoder"
        named = model.title
        raise ExportError(f"{named} cannot be exported for images {extent}: {reason}; {advice}") from error
