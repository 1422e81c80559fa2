"""Samples as training and evaluation batches."""

from collections.abc import Sequence
from typing import Any

import albumentations
import numpy as np
import torch
from torch.utils.data import Dataset

from segtrain.data.balance import ClassBalance
from segtrain.data.statistics import Decoder
from segtrain.data.transforms import apply, apply_eval
from segtrain.errors import DataError, SegtrainError
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_image

Batch = dict[str, torch.Tensor | list[str]]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A seed of 32 bits for the random choices of one sample in one epoch."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


def read_sample(sample: Sample, decoder: Decoder, image_options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Image (HWC, uint8, or float32 in 0..1 where image_options have a scale) and mask (HW class indices, or CHW in
    multilabel) of a sample. Raises DataError also where their sizes differ."""
    image = read_image(sample.image, **image_options)
    mask = decoder.read(sample)
    if image.shape[:2] != mask.shape[-2:]:
        size = "{1} x {0} pixels".format
        raise DataError(
            f"{sample.mask_file}: is {size(*mask.shape[-2:])}, but its image {sample.image} is {size(*image.shape[:2])}"
        )
    return image, mask


def images_to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Images (HWC uint8, or float32 in 0..1, all of one size) as one tensor (N, C, H, W) of 0..255 in the same type, in
    channels_last memory without a copy."""
    batch = np.stack(images)
    if batch.dtype == np.float32:
        batch *= 255
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def masks_to_tensor(masks: Sequence[np.ndarray]) -> torch.Tensor:
    """Masks (HW or CHW, uint8 or int32) as one tensor (N, ...) of the same type; it becomes int64 on the device."""
    return torch.from_numpy(np.stack(masks))


class _Samples(Dataset):
    """Batches by lists of keys. What is wrong with a file travels back as the batch itself: an exception that crosses
    from a worker process would arrive wrapped in a traceback."""

    def __init__(self, samples: Sequence[Sample], decoder: Decoder, *, image_options: dict[str, Any]):
        self.samples = samples
        self.decoder = decoder
        self.image_options = image_options
        self.kept: list[tuple[np.ndarray, np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of a sample, from memory where they are kept; not to be changed in place."""
        if self.kept is not None:
            return self.kept[index]
        return read_sample(self.samples[index], self.decoder, self.image_options)

    def __getitems__(self, keys: list):
        try:
            return self.batch(keys)
        except (SegtrainError, MemoryError) as error:
            return error


class TrainSamples(_Samples):
    """Augmented batches; a key is (epoch, index), and with the seed it decides every random choice."""

    def __init__(self, samples, decoder, *, image_options, transform: albumentations.Compose, seed: int):
        super().__init__(samples, decoder, image_options=image_options)
        self.transform = transform
        self.seed = seed
        self.balance: ClassBalance | None = None

    def batch(self, keys: list[tuple[int, int]]) -> Batch:
        """image (N, C, H, W), mask (N, H, W) or (N, C, H, W), name."""
        images, masks, chosen = [], [], []
        for epoch, index in keys:
            seed, target = sample_seed(self.seed, epoch, index), None
            if self.balance is not None:
                index, target = self.balance.choose(index, seed)
            sample = self.samples[index]
            image, mask = self.load(index)
            try:
                image, mask = apply(self.transform, image, mask, seed, target=target)
            except DataError as error:
                raise DataError(f"{sample.image}: {error}") from error
            images.append(image)
            masks.append(mask)
            chosen.append(sample)
        for sample, mask in zip(chosen, masks, strict=True):
            if mask.shape != masks[0].shape:
                sizes = f"{chosen[0].image} {masks[0].shape[-2:]} and {sample.image} {mask.shape[-2:]}"
                raise DataError(
                    f"images of one batch differ in height and width: {sizes}; "
                    "end transforms.train with RandomCrop: {height: 256, width: 256, pad_if_needed: true}, or Resize"
                )
        names = [sample.name for sample in chosen]
        return {"image": images_to_tensor(images), "mask": masks_to_tensor(masks), "name": names}


class EvalSamples(_Samples):
    """Whole images with their masks at original size; a key is the index. A batch is a list of groups of one size."""

    def __init__(self, samples, decoder, *, image_options, transform: albumentations.Compose | None):
        super().__init__(samples, decoder, image_options=image_options)
        self.transform = transform

    def batch(self, keys: list[int]) -> list[Batch]:
        """Groups of image (N, C, H', W'), mask (N, H, W) or (N, C, H, W), and name; H', W' differ from H, W after
        resizing."""
        groups: dict[tuple, list] = {}
        for index in keys:
            sample = self.samples[index]
            image, mask = self.load(index)
            try:
                image = apply_eval(self.transform, image)
            except DataError as error:
                raise DataError(f"{sample.image}: {error}") from error
            groups.setdefault((image.shape, mask.shape), []).append((image, mask, sample.name))
        return [
            {"image": images_to_tensor(images), "mask": masks_to_tensor(masks), "name": list(names)}
            for images, masks, names in (zip(*group, strict=True) for group in groups.values())
        ]
