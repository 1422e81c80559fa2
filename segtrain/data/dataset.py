"""Samples as training and evaluation batches."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import albumentations
import numpy as np
import torch
from torch.utils.data import Dataset

from segtrain.data.labels import Decoder
from segtrain.data.transforms import apply, apply_eval, require_one_size
from segtrain.errors import DataError, SegtrainError
from segtrain.formats.sample import Sample, require_mask_size
from segtrain.images.reading import read_with_nodata

Kept = Sequence[tuple[np.ndarray, np.ndarray]]
Made = tuple[Sample, np.ndarray, np.ndarray]  # its image and its mask
Batch = dict[str, torch.Tensor | list[str]]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A 32-bit seed for the random choices of one sample in one epoch."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


def read_sample(sample: Sample, decoder: Decoder, image_options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Image (HWC, uint8, or float32 in 0..1 if image_options have a scale) and mask (HW class indices, or CHW in
    multilabel) of a sample; nodata pixels of the image are ignored. Raises DataError also if their sizes differ."""
    image, missing = read_with_nodata(sample.image, **image_options)
    mask = decoder.read(sample)
    require_mask_size(sample, sample.mask_file, image.shape[:2], mask.shape[-2:])
    return image, mask if missing is None else np.where(missing, mask.dtype.type(decoder.ignore_index), mask)


def images_to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Images (HWC uint8, or float32 in 0..1, all of the same size) as one tensor (N, C, H, W) of 0..255 of the same
    type, in channels_last memory, without a copy."""
    batch = np.stack(images)
    if batch.dtype == np.float32:
        batch *= 255
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def make_batch(samples: Sequence[Sample], images: torch.Tensor, masks: Sequence[np.ndarray]) -> Batch:
    """Masks (HW or CHW, uint8 or int32) become one tensor (N, ...) of the same type; it becomes int64 on the device."""
    return {"image": images, "mask": torch.from_numpy(np.stack(masks)), "name": [sample.name for sample in samples]}


class ClassBalance:
    """Chooses samples by their classes.

    Args:
        share: 0..1, share of the samples that are drawn for a class; the others are used in their order.
        presence: bool (N, C), whether sample n has a pixel of class c. A class that no sample has is never drawn.
    """

    def __init__(self, share: float, presence: np.ndarray):
        self.share = share
        classes, self._samples = np.nonzero(presence.T)  # one array for all classes: forked processes share it
        self._classes = np.flatnonzero(presence.any(axis=0))
        self._starts = np.searchsorted(classes, self._classes)
        self._ends = np.searchsorted(classes, self._classes, side="right")

    def choose(self, index: int, seed: int) -> tuple[int, int | None]:
        """The sample to use instead of `index`, and the class for which it is drawn, or None; depends on `seed`
        alone."""
        rng = np.random.default_rng((seed, 1))  # another stream than that of the augmentation
        if not len(self._classes) or rng.random() >= self.share:
            return index, None
        chosen = rng.integers(len(self._classes))
        return int(self._samples[rng.integers(self._starts[chosen], self._ends[chosen])]), int(self._classes[chosen])


@dataclass(eq=False, repr=False)
class _Samples(Dataset):
    """Batches by lists of keys. An error in a file is returned as the batch: an exception raised in a worker process
    would arrive wrapped in a traceback. `kept` are the decoded images and masks of all samples, if they are in memory;
    `read` replaces read_sample if files are read from elsewhere."""

    samples: Sequence[Sample]
    decoder: Decoder
    _: KW_ONLY
    image_options: dict[str, Any]
    kept: Kept | None = None
    read: Callable[..., tuple[np.ndarray, np.ndarray]] = read_sample

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of a sample, from memory if they are kept; do not change them in place."""
        if self.kept is not None:
            return self.kept[index]
        return self.read(self.samples[index], self.decoder, self.image_options)

    def __getitems__(self, keys: list):
        try:
            return self.batch(keys)
        except (SegtrainError, MemoryError) as error:
            return error


@dataclass(eq=False, repr=False, kw_only=True)
class TrainSamples(_Samples):
    """Augmented batches; a key is (epoch, index), which together with the seed determines every random choice."""

    transform: albumentations.Compose
    seed: int
    balance: ClassBalance | None = None
    mix: Callable[..., Made] | None = None

    def augment(self, index: int, seed: int) -> Made:
        """The sample, or the one `balance` chose, with its image and mask after transforms.train; depends on `seed`
        alone."""
        index, target = self.balance.choose(index, seed) if self.balance is not None else (index, None)
        sample, (image, mask) = self.samples[index], self.load(index)
        try:
            return sample, *apply(self.transform, image, mask, seed, target=target)
        except DataError as error:
            raise DataError(f"{sample.image}: {error}") from error

    def batch(self, keys: list[tuple[int, int]]) -> Batch:
        """image (N, C, H, W), mask (N, H, W) or (N, C, H, W), name."""
        made = []
        for epoch, index in keys:
            seed = sample_seed(self.seed, epoch, index)
            made.append(self.augment(index, seed))
            if self.mix is not None:
                made[-1] = self.mix(made[-1], seed, self)
        samples, images, masks = zip(*made, strict=True)
        require_one_size(samples, masks, "images of one batch")
        return make_batch(samples, images_to_tensor(images), masks)


class RawSamples(_Samples):
    """Whole images as read, with their masks; a key is the index. A batch is a list of groups of the same size."""

    def batch(self, keys: list[int]) -> list[Batch]:
        """Groups of image (N, H, W, C) as read_image returns it, mask (N, H, W) or (N, C, H, W), and name."""
        groups: dict[tuple[int, ...], list[Made]] = {}
        for index in keys:
            image, mask = self.load(index)
            groups.setdefault(mask.shape, []).append((self.samples[index], image, mask))
        return [
            make_batch(samples, self.images(samples, images), masks)
            for samples, images, masks in (zip(*group, strict=True) for group in groups.values())
        ]

    def images(self, samples: Sequence[Sample], images: Sequence[np.ndarray]) -> torch.Tensor:
        """The tensor of images of the same size (HWC) in a batch."""
        return torch.from_numpy(np.stack(images))


@dataclass(eq=False, repr=False, kw_only=True)
class EvalSamples(RawSamples):
    """The same images as the model receives them, after transforms.val; masks keep their original size."""

    transform: albumentations.Compose | None

    def images(self, samples: Sequence[Sample], images: Sequence[np.ndarray]) -> torch.Tensor:
        """(N, C, H', W') for images of H and W; resizing makes them differ. Raises DataError with the file."""
        prepared = []
        for sample, image in zip(samples, images, strict=True):
            try:
                prepared.append(apply_eval(self.transform, image))
            except DataError as error:
                raise DataError(f"{sample.image}: {error}") from error
        return images_to_tensor(prepared)
