"""TorchScript, for programs in C++ and on phones."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrain.commands.export.graph import ExportOptions, Graph, example_images, explained_failure
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.exported import quiet


class _Padded(nn.Module):
    """A traced graph that takes multiples of the stride, behind a padding that is decided for each image."""

    def __init__(self, graph: nn.Module, stride: int, minimum_side: int):
        super().__init__()
        self.graph = graph
        self.stride = stride
        self.minimum_side = minimum_side

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2], images.shape[3]
        bottom = (max(height, self.minimum_side) + self.stride - 1) // self.stride * self.stride - height
        right = (max(width, self.minimum_side) + self.stride - 1) // self.stride * self.stride - width
        padded = functional.pad(images.float(), [0, right, 0, bottom], mode="replicate")
        result: Tensor = self.graph(padded)
        return result[..., :height, :width]


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    graph = Graph(network, options)
    stride, minimum = graph.model.stride, graph.model.minimum_side
    with explained_failure(network, options), quiet(), torch.no_grad():
        if options.size:  # nothing is decided in a trace, and converters such as coremltools take it
            script = torch.jit.trace(graph, example_images(network, options), check_trace=False)
        else:
            side = max(-(-minimum // stride), 1) * stride
            example = torch.zeros(2, network.task.channels, 2 * side, 3 * side)
            traced = torch.jit.trace(graph, example, check_trace=False)
            script = torch.jit.script(_Padded(traced, stride, minimum)).eval()
        script = torch.jit.freeze(script)
    buffer = io.BytesIO()  # torch's own error for a full disk is hard to tell from others
    with quiet():
        torch.jit.save(script, buffer, _extra_files=options.note(network.task).metadata())
    path.write_bytes(buffer.getvalue())
