"""A network that sees in the red of an image which class a pixel is, for tests of what becomes of predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task

COLORS = [(10, 20, 30), (200, 0, 0), (0, 150, 0), (0, 0, 250)]
TASK = Task(mode="multiclass", names=["sky", "road", "car"], colors=COLORS[:3])
BINARY = Task(mode="binary", names=["background", "road"], colors=COLORS[:2], thresholds=[0.5])
LAYERS = Task(mode="multilabel", names=["wet", "road/lane", "car"], colors=COLORS, thresholds=[0.5] * 3)


class Painted:
    """A Network. Multiclass: the class is red, with a probability of 0.8. Binary: the probability is red / 255.
    Multilabel: the probabilities are red, green and blue / 255. `shapes` are those of the images that it was given."""

    device = torch.device("cpu")
    input_size = None
    batch_size = None
    gives_labels = False

    def __init__(self, task: Task):
        self.task = task
        self.shapes: list[tuple[int, ...]] = []

    def probabilities(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        if self.task.mode == "multiclass":
            count = len(self.task.names)
            there = images[:, :1].round() == torch.arange(count).view(1, -1, 1, 1)
            return torch.where(there, 0.8, 0.2 / (count - 1))
        return images[:, : self.task.outputs].float() / 255


def painted(task: Task = TASK, **options) -> Predictor:
    """A Predictor with this network alone."""
    return Predictor([Painted(task)], InferOptions(**options))


def paint(path: Path, red: np.ndarray | Sequence, *others: np.ndarray) -> np.ndarray:
    """Write an image with this red, HW, and zeros or `others` as green and blue."""
    planes = [np.asarray(plane, np.uint8) for plane in (red, *others)]
    planes += [np.zeros_like(planes[0])] * (3 - len(planes))
    image = np.stack(planes, axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return image


def read(path: Path) -> np.ndarray:
    """The pixels of a picture as they are: of a palette its indices."""
    return np.asarray(Image.open(path))


def random_classes(seed: int, height: int = 20, width: int = 30, classes: int = 3) -> np.ndarray:
    """HW uint8 of small blocks."""
    cells = np.random.default_rng(seed).integers(0, classes, (-(-height // 5), -(-width // 5)))
    return np.kron(cells, np.ones((5, 5))).astype(np.uint8)[:height, :width]
