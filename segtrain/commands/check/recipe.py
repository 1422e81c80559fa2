"""Recipe: a training that suits a data set and a machine, and the experiment file that says so."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np

from segtrain.commands.check.yaml_lines import write_text

STRIDE_PX = 32
LEAST_CROP_PX = 64
PIXELS_PER_CROP = {"cpu": 320 * 320, "gpu": 512 * 512}
UPDATES = {"cpu": 2000, "gpu": 8000}  # of the optimizer
LARGEST_BATCH = {"cpu": 8, "gpu": 16}
EPOCHS = (10, 200)
BYTES_PER_PIXEL = {"cpu": 1800, "gpu": 3600}  # of the batch; Unet with resnet18 in bf16 took 1600, the other is a guess
MODEL_BYTES = 700 << 20
SHARE_OF_MEMORY = 0.5
RARE_SHARE = 0.02  # of the labelled pixels: a class below it is weighted up
RARE_IMAGES = 0.1  # of the images: a class in fewer is drawn more often


class Situation(NamedTuple):
    """What the choice depends on.

    `sizes` are height and width in pixels of each training image, (N, 2); `shares` the share of the labelled pixels of
    each class and `image_shares` that of the images it occurs in, a binary task with its background first; `upright` is
    whether there is an up in the images; `free_bytes` is the memory of the device (None: not known).
    """

    sizes: np.ndarray
    shares: Sequence[float]
    image_shares: Sequence[float]
    binary: bool
    upright: bool
    gpu: bool
    free_bytes: int | None
    pretrained: bool


class Recipe(NamedTuple):
    """The numbers and names of an experiment file; pixels for sizes, `lovasz_from` is an epoch or None."""

    crop: tuple[int, int]
    batch_size: int
    accumulate_steps: int
    epochs: int
    eval_every_epochs: int
    encoder_name: str
    decoder_channels: list[int]
    learning_rate: float
    encoder_lr_factor: float
    class_weights: bool
    balance: float
    lovasz_from: int | None


def choose_recipe(situation: Situation) -> Recipe:
    """The experiment for a situation; see the constants for the bounds."""
    kind = "gpu" if situation.gpu else "cpu"
    crop = choose_crop(situation.sizes, pixels=PIXELS_PER_CROP[kind], square=not situation.upright)
    count = len(situation.sizes)
    batch = choose_batch(crop, count=count, kind=kind, free_bytes=situation.free_bytes)
    accumulate = max(1, 4 // batch)
    updates_per_epoch = max(1, count // batch // accumulate)
    epochs = int(np.clip(round(UPDATES[kind] / updates_per_epoch), *EPOCHS))
    rare = min((share for share in situation.shares if share > 0), default=1) < RARE_SHARE
    few = min((share for share in situation.image_shares if share > 0), default=1) < RARE_IMAGES
    return Recipe(
        crop=crop,
        batch_size=batch,
        accumulate_steps=accumulate,
        epochs=epochs,
        eval_every_epochs=max(1, epochs // 12),
        encoder_name="resnet34" if situation.gpu else "resnet18",
        decoder_channels=[256, 128, 64, 32, 16] if situation.gpu else [128, 64, 32, 32, 16],
        learning_rate=1e-3 if situation.pretrained else 2e-3,
        encoder_lr_factor=0.2 if situation.pretrained else 1.0,
        class_weights=rare and not situation.binary,
        balance=0.3 if few else 0.0,
        lovasz_from=round(0.75 * epochs) if not situation.binary and len(situation.shares) <= 32 else None,
    )


def choose_crop(sizes: np.ndarray, *, pixels: int, square: bool) -> tuple[int, int]:
    """Height and width of the crop: those of the median image, reduced to at most so many pixels and to multiples of
    32, rounded up where the whole image is meant. Square, of its shorter side, where images are turned as well."""
    height, width = np.median(sizes, axis=0)
    if square:
        height = width = min(height, width)
    factor = min(1.0, math.sqrt(pixels / (height * width)))
    rounded = math.ceil if factor == 1 else math.floor
    sides = (max(LEAST_CROP_PX, STRIDE_PX * rounded(factor * side / STRIDE_PX)) for side in (height, width))
    return tuple(int(side) for side in sides)


def choose_batch(crop: tuple[int, int], *, count: int, kind: str, free_bytes: int | None) -> int:
    """Images of a batch: a power of two that the memory holds and that gives four batches in an epoch, at least 2."""
    batch = LARGEST_BATCH[kind]
    while batch > 2:
        needed = MODEL_BYTES + batch * crop[0] * crop[1] * BYTES_PER_PIXEL[kind]
        if 4 * batch <= count and (free_bytes is None or needed <= SHARE_OF_MEMORY * free_bytes):
            break
        batch //= 2
    return batch


class DataSummary(NamedTuple):
    """What an experiment file says of the data: how it lies on the disk, the classes, settings.

    `head` are comment lines without their sign; `data_lines` are indented as they stand below `data:`; `channels`,
    `scale`, `mean` and `std` are None where the defaults hold; mean and std are in images scaled to 0..1.
    """

    name: str
    head: Sequence[str]
    data_lines: Sequence[str]
    binary: bool
    upright: bool
    pretrained: bool
    channels: int | None
    scale: float | None
    mean: Sequence[float] | None
    std: Sequence[float] | None


def write_experiment(recipe: Recipe, data: DataSummary) -> str:
    """The whole experiment file, YAML, with the reasons beside the values."""
    template = Path(__file__).with_name("experiment.yml.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["because"] = lambda text, comment: f"{text:32}{'' if len(text) < 32 else '  '} # {comment}"
    return environment.from_string(template).render(recipe=recipe, data=data, write_text=write_text)
