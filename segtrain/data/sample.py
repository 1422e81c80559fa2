"""What a data set is before any image is read: lists of pairs of files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from segtrain.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".npy"})


class Sample(NamedTuple):
    """One image and its mask on the disk; `name` is unique in its split."""

    name: str
    image: str
    mask: str


Splits = dict[str, list[Sample]]


def split_by_fraction(samples: Sequence[Sample], fraction: float, seed: int) -> Splits:
    """Cut off a share of the samples for validation, chosen by seed and name: the same ones on every machine."""
    if not 0 < fraction < 1:
        raise DataError(f"data.val_fraction: expected a share between 0 and 1, not {fraction}")
    if len(samples) < 2:
        raise DataError(f"data: {len(samples)} sample cannot be split into training and validation")
    order = sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}:{sample.name}".encode()).digest())
    count = min(max(round(len(samples) * fraction), 1), len(samples) - 1)
    chosen = {sample.name for sample in order[:count]}
    return {
        "train": [sample for sample in samples if sample.name not in chosen],
        "val": [sample for sample in samples if sample.name in chosen],
    }


def require_path(path: Path, what: str) -> Path:
    """The path itself where it exists; otherwise a DataError that shows what lies beside it."""
    if path.exists():
        return path
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    beside = (
        sorted(item.name for item in parent.iterdir() if not item.name.startswith("."))[:8] if parent.is_dir() else []
    )
    raise DataError(f"{what}: {path} does not exist; {parent} holds: {', '.join(beside) or 'nothing'}")
