"""Recipe: a training that suits a data set and a machine, and the experiment file that says so."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from segtrain.commands.check.finding import write_flow

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


def choose_recipe(
    *,
    sizes: np.ndarray,
    shares: Sequence[float],
    image_shares: Sequence[float],
    binary: bool,
    upright: bool,
    gpu: bool,
    free_bytes: int | None,
    pretrained: bool,
) -> dict[str, Any]:
    """The numbers and names of an experiment file; see the constants for the bounds.

    Args:
        sizes: height and width in pixels of each training image, (N, 2).
        shares: share of the labelled pixels of each class, a binary task with its background first.
        image_shares: share of the images that each class occurs in.
        binary: whether there is one class.
        upright: whether there is an up in the images.
        gpu: whether there is a GPU.
        free_bytes: the memory of the device; None: not known.
        pretrained: whether the encoder's weights can be had.
    """
    kind = "gpu" if gpu else "cpu"
    crop = choose_crop(sizes, pixels=PIXELS_PER_CROP[kind], square=not upright)
    batch = choose_batch(crop, count=len(sizes), kind=kind, free_bytes=free_bytes)
    accumulate = max(1, 4 // batch)
    epochs = int(np.clip(round(UPDATES[kind] / max(1, len(sizes) // batch // accumulate)), *EPOCHS))
    rarest, fewest = (min((share for share in found if share > 0), default=1) for found in (shares, image_shares))
    return {
        "binary": binary,
        "upright": upright,
        "pretrained": pretrained,
        "crop": crop,
        "batch_size": batch,
        "accumulate_steps": accumulate,
        "epochs": epochs,
        "eval_every_epochs": max(1, epochs // 12),
        "encoder_name": "resnet34" if gpu else "resnet18",
        "decoder_channels": [256, 128, 64, 32, 16] if gpu else [128, 64, 32, 32, 16],
        "learning_rate": 1e-3 if pretrained else 2e-3,
        "encoder_lr_factor": 0.2 if pretrained else 1.0,
        "class_weights": rarest < RARE_SHARE and not binary,
        "balance": 0.3 if fewest < RARE_IMAGES else 0.0,
        "lovasz_from": round(0.75 * epochs) if not binary and len(shares) <= 32 else None,
    }


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


def write_experiment(**data: Any) -> str:
    """The whole experiment file, YAML, with the reasons beside the values.

    Args:
        data: what choose_recipe gives; `name`; `head`, comment lines without their sign; `data_lines`, indented as they
            stand below `data:`; `channels`, `scale`, `mean` and `std` (of images scaled to 0..1), None where the
            defaults hold.
    """
    template = Path(__file__).with_name("experiment.yml.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["because"] = lambda text, comment: f"{text:32}{'' if len(text) < 32 else '  '} # {comment}"
    return environment.from_string(template).render(data, write_flow=write_flow)
