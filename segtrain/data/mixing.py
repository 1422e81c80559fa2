"""Mixing of training samples: part of another sample is pasted onto a sample (`data.mix`).

Each method says which pixels of the other sample are pasted. Image and mask are pasted together, so that every pixel
keeps its label.
"""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from segtrain.config.data_schema import DataConfig
from segtrain.data.dataset import Made, TrainSamples
from segtrain.data.transforms import require_one_size

Method = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def cut_mix(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """CutMix: a rectangle of half the area, of any shape and anywhere, as bool HW.

    Its height is r H and its width W / (2 r), where r = 0.5^u and u is uniform in 0..1. That is CutMix (Yun et al.
    2019, arXiv 1905.04899) as French et al. 2020 (arXiv 1906.01916) have it for segmentation: the area is fixed, not
    drawn from a Beta distribution, and no label is averaged. The rectangle is pasted whole: pixels that are ignored in
    the other sample stay ignored.

    Args:
        mask: that of the other sample, HW or CHW.
        rng: draws the rectangle.
    """
    height, width = mask.shape[-2:]
    share = 0.5 ** rng.random()
    rows, columns = round(height * share), round(width * 0.5 / share)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    region = np.zeros((height, width), bool)
    region[top : top + rows, left : left + columns] = True
    return region


def class_mix(mask: np.ndarray, rng: np.random.Generator, *, ignore_index: int) -> np.ndarray:
    """ClassMix: the pixels of half of the classes that the other sample has, rounded down, as bool HW.

    Olsson et al. 2021 (arXiv 2007.07936) with masks instead of predictions: floor(n / 2) of the n classes in the mask,
    each set with equal chance. The background is a class like the others; in multilabel it is the pixels that are known
    to have no class. Ignored pixels are no class and are not pasted.

    Args:
        mask: that of the other sample, HW class indices, or CHW layers of 0, 1 and ignore_index.
        rng: draws the classes.
        ignore_index: value of ignored pixels.
    """
    if mask.ndim == 2:
        counts = np.bincount(mask.ravel(), minlength=ignore_index + 1)
        counts[ignore_index] = 0
        return _half(counts > 0, rng)[mask]
    layers = np.concatenate([mask == 1, (mask == 0).all(axis=0, keepdims=True)])
    return layers[_half(layers.any(axis=(1, 2)), rng)].any(axis=0)


def _half(present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half of the true elements of a bool array, rounded down; the others become false."""
    indices, chosen = np.flatnonzero(present), np.zeros_like(present)
    chosen[rng.choice(indices, len(indices) // 2, replace=False)] = True
    return chosen


def copy_paste(mask: np.ndarray, rng: np.random.Generator, *, classes: Sequence[int]) -> np.ndarray:
    """Copy-paste: a random subset of the objects in the other sample, each with probability 1/2, as bool HW.

    Ghiasi et al. 2021 (arXiv 2012.07177) for masks without instances: an object is a set of pixels of one class that
    touch one another, corners included. Scale and place vary by transforms.train, which the other sample has gone
    through, and edges are not blended, which gave nothing there. Ignored pixels belong to no object.

    Args:
        mask: that of the other sample, HW class indices, or CHW layers of 0, 1 and ignore_index.
        rng: draws the objects.
        classes: indices of the classes that are objects.
    """
    region = np.zeros(mask.shape[-2:], bool)
    for index in classes:
        pixels = mask == index if mask.ndim == 2 else mask[index] == 1
        count, objects = cv2.connectedComponents(pixels.astype(np.uint8))
        taken = rng.random(count) < 0.5
        taken[0] = False  # what is no object
        region |= taken[objects]
    return region


class Mixing:
    """Mixes a `share` (0..1) of the samples, as `data.mix` says.

    One draw chooses the method, so that a sample is mixed in at most one way. In multilabel all layers of a pasted
    pixel are pasted.
    """

    def __init__(self, data: DataConfig):
        mix = data.mix
        ways: list[tuple[float, Method]] = [
            (mix.CutMix, cut_mix),
            (mix.ClassMix, partial(class_mix, ignore_index=data.ignore_index)),
        ]
        if mix.CopyPaste is not None:
            first = int(data.mode == "binary")  # 0 is the background
            classes = [index for index, item in enumerate(data.classes, first) if item.name in mix.CopyPaste.classes]
            ways.append((mix.CopyPaste.p, partial(copy_paste, classes=classes)))
        shares, self._methods = zip(*ways, strict=True)
        self._ends = np.cumsum(shares)
        self.share = float(self._ends[-1])

    def __call__(self, made: Made, seed: int, samples: TrainSamples) -> Made:
        """An augmented sample, mixed or unchanged. Depends only on `seed`: whether and how it is mixed, with which of
        all the `samples`, and how that one is augmented. Raises DataError if their sizes differ."""
        rng = np.random.default_rng((seed, 2))  # another stream than those of the augmentation and of ClassBalance
        drawn = int(np.searchsorted(self._ends, rng.random(), side="right"))
        if drawn == len(self._methods):
            return made
        other, other_image, other_mask = samples.augment(int(rng.integers(len(samples))), int(rng.integers(1 << 32)))
        sample, image, mask = made
        require_one_size([sample, other], [mask, other_mask], "images that data.mix combines")
        region = self._methods[drawn](other_mask, rng)
        return sample, np.where(region[..., None], other_image, image), np.where(region, other_mask, mask)
