"""What exports to TensorFlow SavedModel and TFLite share: Google's litert-torch translates the graph for both."""

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from torch import Tensor, nn

from segtrain.commands.export.graph import Graph, example_images
from segtrain.commands.export.options import ExportOptions
from segtrain.inference.network import TorchNetwork

INPUT = "images"
SIGNATURE = "serving_default"  # what TensorFlow calls the one that a model is for


class ChannelsBehind(nn.Module):
    """A graph in TensorFlow's order: images (N, H, W, C) to {"probabilities": (N, H, W, K)} or {"labels": (N, H, W)},
    in multilabel (N, H, W, K)."""

    def __init__(self, network: TorchNetwork, options: ExportOptions):
        super().__init__()
        self.network = Graph(network, options)  # a module named graph would hide that of torch.fx
        self.output = "labels" if options.labels else "probabilities"
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        return {self.output: to_behind(self.network(images.permute(0, 3, 1, 2)))}


def to_behind(pixels: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H, W, C); without channels as it is."""
    return pixels.permute(0, 2, 3, 1) if pixels.ndim == 4 else pixels


def to_front(pixels: Tensor) -> Tensor:
    """(N, H, W, C) to (N, C, H, W); without channels as it is."""
    return pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels


def example_image(network: TorchNetwork, options: ExportOptions) -> Tensor:
    """A noise image (1, H, W, C) of options.size to trace a graph with."""
    return to_behind(example_images(network, options)[:1]).contiguous()


@contextmanager
def silent() -> Iterator[None]:
    """Without what TensorFlow's libraries write past Python to stdout and stderr, and without their own warnings.

    It is for the whole process: not for what runs beside other threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with tempfile.TemporaryFile() as sink, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, number in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
