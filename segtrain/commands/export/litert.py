"""LiteRT: the graph as Google's litert-torch translates it, for TensorFlow SavedModel and for TFLite."""

from torch import Tensor, nn

from segtrain.commands.export.graph import ExportOptions, Graph, example_images
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.tensorflow import to_channels_last


class ChannelsLast(nn.Module):
    """A graph in TensorFlow's order: images (N, H, W, C) to {"probabilities": (N, H, W, K)} or {"labels": (N, H, W)},
    in multilabel (N, H, W, K)."""

    def __init__(self, network: TorchNetwork, options: ExportOptions):
        super().__init__()
        self.network = Graph(network, options)  # a module named graph would hide that of torch.fx
        self.output = options.output
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        return {self.output: to_channels_last(self.network(images.permute(0, 3, 1, 2)))}


def example_image(network: TorchNetwork, options: ExportOptions) -> Tensor:
    """A noise image (1, H, W, C) of options.size to trace a graph with."""
    return to_channels_last(example_images(network, options)[:1]).contiguous()
