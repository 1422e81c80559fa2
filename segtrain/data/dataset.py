"""Samples as training and evaluation batches."""

from collections.abc import Sequence

import albumentations
import numpy as np
import torch
from torch.utils.data import Dataset

from segtrain.data.labels import LabelDecoder
from segtrain.data.reading import read_image
from segtrain.data.sample import Sample
from segtrain.errors import DataError, SegtrainError
from segtrain.transforms import apply, apply_eval

Batch = dict[str, torch.Tensor | list[str]]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """A seed of 32 bits for the random choices of one sample in one epoch."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


def read_sample(sample: Sample, decoder: LabelDecoder, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (HWC uint8) and mask (HW class indices) of a sample. Raises DataError also where their sizes differ."""
    image = read_image(sample.image, channels=channels)
    mask = decoder.read(sample.mask)
    if image.shape[:2] != mask.shape:
        size = "{1} x {0} pixels".format
        raise DataError(
            f"{sample.mask}: is {size(*mask.shape)}, but its image {sample.image} is {size(*image.shape[:2])}"
        )
    return image, mask


def images_to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Images (HWC uint8, all of one size) as one tensor (N, C, H, W) uint8, in channels_last memory without a copy."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def masks_to_tensor(masks: Sequence[np.ndarray]) -> torch.Tensor:
    """Masks (HW, uint8 or int32) as one tensor (N, H, W) of the same type; it becomes int64 on the device."""
    return torch.from_numpy(np.stack(masks))


class _Samples(Dataset):
    """Batches by lists of keys. What is wrong with a file travels back as the batch itself: an exception that crosses
    from a worker process would arrive wrapped in a traceback."""

    def __init__(self, samples: Sequence[Sample], decoder: LabelDecoder, *, channels: int):
        self.samples = samples
        self.decoder = decoder
        self.channels = channels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, keys: list):
        try:
            return self.batch(keys)
        except (SegtrainError, MemoryError) as error:
            return error


class TrainSamples(_Samples):
    """Augmented batches; a key is (epoch, index), and with the seed it decides every random choice."""

    def __init__(self, samples, decoder, *, channels: int, transform: albumentations.Compose, seed: int):
        super().__init__(samples, decoder, channels=channels)
        self.transform = transform
        self.seed = seed

    def batch(self, keys: list[tuple[int, int]]) -> Batch:
        """image (N, C, H, W) uint8, mask (N, H, W), name."""
        images, masks = [], []
        chosen = [self.samples[index] for _, index in keys]
        for (epoch, index), sample in zip(keys, chosen, strict=True):
            image, mask = read_sample(sample, self.decoder, self.channels)
            try:
                image, mask = apply(self.transform, image, mask, sample_seed(self.seed, epoch, index))
            except DataError as error:
                raise DataError(f"{sample.image}: {error}") from error
            images.append(image)
            masks.append(mask)
        for sample, mask in zip(chosen, masks, strict=True):
            if mask.shape != masks[0].shape:
                sizes = f"{chosen[0].image} {masks[0].shape} and {sample.image} {mask.shape}"
                raise DataError(
                    f"images of one batch differ in height and width: {sizes}; "
                    "end transforms.train with RandomCrop: {height: 256, width: 256, pad_if_needed: true}, or Resize"
                )
        names = [sample.name for sample in chosen]
        return {"image": images_to_tensor(images), "mask": masks_to_tensor(masks), "name": names}


class EvalSamples(_Samples):
    """Whole images with their masks at original size; a key is the index. A batch is a list of groups of one size."""

    def __init__(self, samples, decoder, *, channels: int, transform: albumentations.Compose | None):
        super().__init__(samples, decoder, channels=channels)
        self.transform = transform

    def batch(self, keys: list[int]) -> list[Batch]:
        """Groups of image (N, C, H', W') uint8, mask (N, H, W) and name; H', W' differ from H, W after resizing."""
        groups: dict[tuple, list] = {}
        for index in keys:
            sample = self.samples[index]
            image, mask = read_sample(sample, self.decoder, self.channels)
            try:
                image = apply_eval(self.transform, image)
            except DataError as error:
                raise DataError(f"{sample.image}: {error}") from error
            groups.setdefault((image.shape, mask.shape), []).append((image, mask, sample.name))
        return [
            {"image": images_to_tensor(images), "mask": masks_to_tensor(masks), "name": list(names)}
            for images, masks, names in (zip(*group, strict=True) for group in groups.values())
        ]
