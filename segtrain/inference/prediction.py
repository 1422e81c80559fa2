"""Prediction: the result of a model for one image, and its visualization."""

import io
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
import torch
from PIL import Image

from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.visualize import IGNORED_COLOR, Color, flatten_layers, overlay, prediction_panel, to_rgb

PALETTE_SIZE = 256


class PredictedImage:
    """An image and its prediction.

    `image` is HWC as read_image returns it. `labels` are HW class indices or, in multilabel, CHW layers of 0 and 1,
    uint8 if the classes fit, otherwise int32. `nodata`, bool HW, marks the pixels of the image without data; None if
    there are none. In multilabel their layers are 0, otherwise their label is a value that no class has.
    """

    task: Task
    image: np.ndarray
    labels: np.ndarray
    nodata: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[-2], self.labels.shape[-1]

    def layer(self, index: int) -> np.ndarray:
        """HW, nonzero where a pixel belongs to this class."""
        return self.labels[index] if self.labels.ndim == 3 else self.labels == index

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of the pixels with data for each of task.names, (classes,) float64; in multilabel they need not add up
        to 1."""
        hidden = 0 if self.nodata is None else np.count_nonzero(self.nodata)
        pixels, classes = max(self.size[0] * self.size[1] - hidden, 1), len(self.task.names)
        if self.labels.ndim == 3:
            return np.count_nonzero(self.labels, axis=(1, 2)) / pixels
        return np.bincount(self.labels.ravel(), minlength=classes)[:classes] / pixels

    @cached_property
    def picture_indices(self) -> np.ndarray:
        """HW indices into task.picture_names, and one more than the last where there is no data."""
        indices = self.labels if self.labels.ndim == 2 else flatten_layers(self.labels)
        if self.nodata is not None:
            indices = np.where(self.nodata, len(self.task.colors), indices)
        return indices.astype(np.uint8, copy=False) if len(self.picture_colors) <= PALETTE_SIZE else indices

    @property
    def picture_colors(self) -> list[Color]:
        """A color for each of the picture's indices."""
        return self.task.colors if self.nodata is None else [*self.task.colors, IGNORED_COLOR]

    @cached_property
    def overlay(self) -> np.ndarray:
        """The colors blended over the image, HWC uint8 RGB; only the image where there is no data."""
        image = to_rgb(self.image)
        covered = overlay(image, paint_indices(self.picture_indices, self.picture_colors))
        return covered if self.nodata is None else np.where(self.nodata[..., None], image, covered)


class Prediction(PredictedImage):
    """A prediction in memory, which a notebook shows as a picture.

    Args:
        predictor: the models, which run again for `probabilities`.
        image: HWC as read_image returns it for the task of the predictor.
    """

    def __init__(self, predictor: Predictor, image: np.ndarray):
        self.task = predictor.task
        self.image = image
        self.labels = predictor.label_batch([image], dtype=label_dtype(self.task))[0].cpu().numpy()
        self._predictor = predictor

    @property
    def mask(self) -> np.ndarray:
        """Another name for `labels`."""
        return self.labels

    @property
    def names(self) -> list[str]:
        """The classes of the indices in `mask`, or of its layers."""
        return self.task.names

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(task.outputs, H, W) float32, 0..1: of each class, or of the foreground of a binary task. Computed on first
        access."""
        return self._predictor.probabilities([self.image])[0].cpu().numpy()

    def _repr_png_(self) -> bytes:
        packed = io.BytesIO()
        names, colors = self.task.picture_names, self.task.colors
        panel = prediction_panel(to_rgb(self.image), self.overlay, self.picture_indices, names=names, colors=colors)
        Image.fromarray(panel).save(packed, "PNG")
        return packed.getvalue()

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {share:.1%}" for name, share in zip(self.names, self.shares, strict=True) if share)
        return f"<prediction of {self.size[1]} x {self.size[0]} pixels: {found or 'no class'}>"


def label_dtype(task: Task) -> torch.dtype:
    """The dtype of PredictedImage.labels."""
    return torch.uint8 if len(task.picture_names) <= PALETTE_SIZE else torch.int32


def paint_indices(indices: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """The color of each index, HWC uint8 RGB, for HW indices that all have one."""
    table = np.array(colors, np.uint8)
    if indices.dtype != np.uint8:
        return table[indices]
    table = np.concatenate([table, np.zeros((PALETTE_SIZE - len(table), 3), np.uint8)])
    return cv2.applyColorMap(indices, table[:, None])
