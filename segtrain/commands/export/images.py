"""Images for an export: to compare with, and to calibrate with."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segtrain.data.dataset import images_to_tensor
from segtrain.data.transforms import apply_eval, build_eval_transform
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable
from segtrain.images.reading import read_image
from segtrain.inference.inputs import find_images, is_video
from segtrain.inference.task import Task
from segtrain.inference.tiles import pad_to

COMPARED_IMAGES = 8
CALIBRATION_IMAGES = 128

ImageSize = tuple[int, int]


def read_prepared(path: Path | str, task: Task) -> Tensor:
    """An image file (1, C, H, W) as networks take it, after transforms.val."""
    image = read_image(path, **task.image_options)
    return images_to_tensor([apply_eval(build_eval_transform(task.transforms), image)])


def fit_image(images: Tensor, size: ImageSize | None) -> Tensor:
    """Images (N, C, H, W) cut at the bottom and right, or continued there, to `size`; None leaves them."""
    return images if size is None else pad_to(images[:, :, : size[0], : size[1]], size)


def spread(items: Sequence, most: int) -> list:
    """At most so many of the items, evenly apart."""
    return [items[index] for index in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def images_to_compare(given: str | None, samples: SampleTable | None, *, output: Path) -> list[Path]:
    """Some of the images that were given, else of the samples; none in `output`. Raises DataError where there is
    none."""
    if given is None:
        return [Path(sample.image) for sample in spread(samples, COMPARED_IMAGES)]
    found = [path for path in find_images([given], output=output) if not is_video(path)]
    if not found:
        raise DataError(f"--images {given}: contains only videos; give a folder of images")
    return spread(found, COMPARED_IMAGES)


def calibration_images(samples: SampleTable, task: Task, size: ImageSize | None) -> Callable[[], Iterator[Tensor]]:
    """See ExportOptions.calibration. The choice of the images depends on their number only."""
    chosen = np.random.default_rng(0).permutation(len(samples))[:CALIBRATION_IMAGES]

    def images() -> Iterator[Tensor]:
        return (fit_image(read_prepared(samples[index].image, task), size) for index in chosen.tolist())

    return images


def batches_of(image: Tensor, size: ImageSize | None) -> Iterator[Tensor]:
    """One image and three of it mirrored, of other sizes, made from an image (1, C, H, W); all of `size` where that is
    given. Odd sides are multiples of no stride."""
    mirrored = torch.cat([image, image.flip(-1), image.flip(-2)])
    yield fit_image(image, size)
    yield fit_image(mirrored[:, :, : image.shape[2] * 6 // 7 | 1, : image.shape[3] * 3 // 4 | 1], size)
    if size is None:
        yield mirrored[:2, :, :41, :23]
