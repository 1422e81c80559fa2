"""How often each class occurs in the training masks: for class weights, and to find masks that mean something else."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segtrain.data.labels import LabelDecoder
from segtrain.data.sample import Sample
from segtrain.errors import DataError


@dataclass(frozen=True)
class ClassStatistics:
    """Pixels of each class, pixels of the images that each class occurs in (less the ignored ones), ignored pixels."""

    names: list[str]
    class_pixels: list[int]
    image_pixels: list[int]
    ignored_pixels: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """class_pixels and image_pixels as float64 arrays of shape (classes,)."""
        return np.array(self.class_pixels, np.float64), np.array(self.image_pixels, np.float64)

    def describe(self) -> str:
        """Each class and its share of the labelled pixels, in one line."""
        total = max(sum(self.class_pixels), 1)
        return ", ".join(
            f"{name} {pixels / total:.1%}" for name, pixels in zip(self.names, self.class_pixels, strict=True)
        )

    def absent(self) -> list[str]:
        """The classes that have no pixel."""
        return [name for name, pixels in zip(self.names, self.class_pixels, strict=True) if pixels == 0]


def count_classes(
    samples: Sequence[Sample], decoder: LabelDecoder, *, names: list[str], cache: Path | None = None
) -> ClassStatistics:
    """Read every mask once and count. The result is kept in the folder `cache` until a file or the classes change.

    Raises DataError for the first mask that cannot be read or holds a value that no class claims, and where masks hold
    nothing but background and ignored pixels: then the object's value is most likely taken for the ignore index.
    """
    file = cache / f"classes-{_fingerprint(samples, decoder, names)}.json" if cache is not None else None
    if file is not None and file.is_file():
        try:
            return ClassStatistics(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            file.unlink()
    statistics = _count(samples, decoder, names)
    if file is not None:
        with suppress(OSError):  # it saves time, no more: a disk that is full or not writable is told where it matters
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(asdict(statistics)), encoding="utf-8")
            temporary.replace(file)
    return statistics


def _fingerprint(samples: Sequence[Sample], decoder: LabelDecoder, names: list[str]) -> str:
    digest = hashlib.sha256(repr((names, decoder.ignore_index, decoder.as_color)).encode())
    digest.update(decoder.table.tobytes())
    for sample in samples:
        try:
            state = os.stat(sample.mask)
        except OSError as error:
            raise DataError(f"{sample.mask}: {error.strerror}") from error
        digest.update(f"{os.path.abspath(sample.mask)}:{state.st_size}:{state.st_mtime_ns};".encode())
    return digest.hexdigest()[:16]


def _count(samples: Sequence[Sample], decoder: LabelDecoder, names: list[str]) -> ClassStatistics:
    size = max(len(names), decoder.ignore_index + 1)

    def count_one(sample: Sample) -> np.ndarray:
        return np.bincount(decoder.read(sample.mask).ravel(), minlength=size)

    class_pixels, image_pixels, ignored = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = pool.map(count_one, samples)
        for counts in tqdm(counted, total=len(samples), desc="counting classes", leave=False, delay=1.0, disable=None):
            ignored += int(counts[decoder.ignore_index])
            counts = counts[: len(names)]
            class_pixels += counts
            image_pixels += (counts > 0) * counts.sum()
    statistics = ClassStatistics(names, class_pixels.tolist(), image_pixels.tolist(), ignored)
    if decoder.binary and class_pixels[1] == 0 and ignored:
        raise DataError(
            f"data.classes: no mask has a pixel of '{names[1]}', but {ignored} pixels have the value "
            f"{decoder.ignore_index}, which is data.ignore_index; if they are '{names[1]}', write data.classes: "
            f"[{{name: {names[1]}, value: {decoder.ignore_index}}}]"
        )
    return statistics
