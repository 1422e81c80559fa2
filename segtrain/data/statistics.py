"""Class statistics: how often each class occurs in each mask, for class weights, folds and balanced sampling."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from segtrain.data.labels import Decoder
from segtrain.errors import DataError
from segtrain.files import replacing
from segtrain.formats.sample import Sample, Splits

TOLD_IGNORED = 0.1  # share of all pixels from which on it is said how many are ignored; the borders of VOC are 0.06
ITEMS_AT_ONCE = 4096  # handed to the threads at once: a million waiting calls would take a gigabyte


@dataclass(frozen=True)
class ClassStatistics:
    """Statistics of the training masks.

    `class_pixels` are the pixels of each class, `image_pixels` those of the images in which each class occurs (without
    ignored ones), `labeled_pixels` all that are not ignored, `ignored_pixels` the others; `presence` says which sample
    has a pixel of which class, bool (samples, classes); `ignored` which samples are known to have only ignored pixels.
    """

    names: list[str]
    class_pixels: list[int]
    image_pixels: list[int]
    labeled_pixels: int
    presence: np.ndarray = field(compare=False, repr=False)
    ignored_pixels: int = 0
    ignored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), compare=False, repr=False)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """class_pixels and image_pixels as float64 arrays of shape (classes,)."""
        return np.array(self.class_pixels, np.float64), np.array(self.image_pixels, np.float64)

    def describe(self) -> str:
        """Each class and its share of the labeled pixels, in one line; and the share of ignored ones if it is large."""
        total, ignored = max(self.labeled_pixels, 1), self.ignored_pixels
        share = ignored / max(self.labeled_pixels + ignored, 1)
        shares = [f"{name} {pixels / total:.1%}" for name, pixels in zip(self.names, self.class_pixels, strict=True)]
        return ", ".join(shares) + (f"; {share:.1%} of all pixels are ignored" if share > TOLD_IGNORED else "")


def read_statistics(
    splits: Splits, decoder: Decoder, *, names: list[str], cache: Path | None, most: int | None = None
) -> ClassStatistics:
    """Read every mask of the training and validation splits once, to report errors in masks before the training, and
    warn of classes that no training mask has, because they cannot be learned. `cache` is a folder to keep the counts
    in. With `most`, only this many masks of a split, spread over it, are read."""
    for split in ("val", "train"):
        samples = splits[split]
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(most or len(samples), len(samples))).astype(int))
        counts = np.zeros((len(samples), decoder.width + 2), np.uint32)
        counts[chosen] = count_pixels([samples[index] for index in chosen], decoder, cache=cache)
    statistics = summarize(counts, decoder, names=names)
    for line in find_other_colors(decoder.palettes):
        print(f"warning: {line}")
    absent = [name for name, pixels in zip(names, statistics.class_pixels, strict=True) if pixels == 0]
    if absent:
        print(f"warning: no training mask has a pixel of: {', '.join(absent)}; are the values in data.classes right?")
    return statistics


def find_other_colors(palettes: dict[tuple[int, tuple[int, ...]], str]) -> Iterator[str]:
    """A line where a value has different colors in the palettes of the masks; `palettes` are those of read_mask."""
    first: dict[int, tuple[tuple[int, ...], str]] = {}
    for (value, color), file in palettes.items():
        known, other = first.setdefault(value, (color, file))
        if known != color:
            yield (
                f"value {value} has the color {[*known]} in the palette of {other} and {[*color]} in that of {file}; "
                f"if the colors mean the classes, write data.classes: [{{name: .., color: {[*known]}}}, ..]"
            )
            return


def summarize(counts: np.ndarray, decoder: Decoder, *, names: list[str]) -> ClassStatistics:
    """Statistics of all samples from the counts of each, (N, classes + 2) as from count_pixels.

    Raises DataError if masks contain only background and ignored pixels: then the value of the object is most likely
    taken for the ignore index.
    """
    by_class, labeled = counts[:, :-2], counts[:, -1].astype(np.int64) - counts[:, -2]
    class_pixels, ignored = by_class.sum(axis=0, dtype=np.int64), int(counts[:, -2].sum(dtype=np.int64))
    image_pixels = ((by_class > 0) * labeled[:, None]).sum(axis=0)
    if (decoder.binary or decoder.multilabel) and ignored and not class_pixels[decoder.binary :].any():
        value, meant = decoder.ignore_index, names[decoder.binary :]
        listed = " or ".join(f"'{name}'" for name in meant)
        entries = ", ".join(f"{{name: {name}, value: {value}}}" for name in meant)
        raise DataError(
            f"data.classes: no mask has a pixel of {listed}, but {ignored} pixels have the value {value}, which is "
            f"data.ignore_index; if they are {listed}, write data.classes: [{entries}]"
        )
    return ClassStatistics(
        names,
        class_pixels.tolist(),
        image_pixels.tolist(),
        int(labeled.sum()),
        by_class > 0,
        ignored_pixels=ignored,
        ignored=(labeled == 0) & (counts[:, -1] > 0),
    )


def count_pixels(samples: Sequence[Sample], decoder: Decoder, *, cache: Path | None = None) -> np.ndarray:
    """Number of pixels of each class, ignored pixels, and all pixels in the mask of each sample: uint32 (N, classes +
    2); a binary task has two classes.

    Counts are kept in the folder `cache`, mask by mask, until the file or the classes change. Raises DataError for the
    first mask that cannot be read or contains a value that no class claims.
    """

    def count_one(index: int) -> np.ndarray:
        return decoder.count(decoder.read(samples[index]))

    keys = np.fromiter(_keys(samples), np.uint64, len(samples))
    file = cache / f"classes-{_fingerprint(decoder)}.npz" if cache is not None else None
    known_keys, known = _load(file, decoder.width + 2)
    positions = np.searchsorted(known_keys, keys)
    positions[positions == len(known_keys)] = 0
    is_known = known_keys[positions] == keys if len(known_keys) else np.zeros(len(keys), bool)
    counts = np.empty((len(samples), decoder.width + 2), np.uint32)
    counts[is_known] = known[positions[is_known]]
    missing = np.flatnonzero(~is_known)
    if len(missing):
        for index, row in zip(missing, map_in_threads(count_one, missing.tolist(), "counting classes"), strict=True):
            counts[index] = row
        if file is not None:
            order = np.unique(np.concatenate([known_keys, keys[missing]]), return_index=True)
            _save(file, order[0], np.concatenate([known, counts[missing]])[order[1]])
    return counts


def _keys(samples: Sequence[Sample]) -> Iterator[int]:
    """64 bits for each mask, which change with its file."""
    here = os.getcwd()
    for sample in samples:
        digest = hashlib.blake2b(f"{here}:{sample.mask}".encode("utf-8", "surrogateescape"), digest_size=8)
        for file in filter(None, sample.mask_files):
            try:
                state = os.stat(file)
            except OSError as error:
                raise DataError(f"{file}: {error.strerror}") from error
            digest.update(f":{state.st_size}:{state.st_mtime_ns}".encode())
        yield int.from_bytes(digest.digest(), "little")


def _fingerprint(decoder: Decoder) -> str:
    digest = hashlib.sha256(repr((3, decoder.width, decoder.ignore_index, decoder.as_color, decoder.read_as)).encode())
    digest.update(repr((decoder.read_raw.__module__, decoder.multilabel)).encode())
    digest.update(decoder.table.tobytes())
    return digest.hexdigest()[:16]


def _load(file: Path | None, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys and their counts; empty if the file is missing or damaged."""
    if file is not None:
        with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), open(file, "rb") as source:
            kept = np.load(source, allow_pickle=False)
            keys, counts = kept["keys"], kept["counts"]
            if keys.dtype == np.uint64 and counts.shape == (len(keys), columns):
                return keys, counts
    return np.empty(0, np.uint64), np.empty((0, columns), np.uint32)


def _save(file: Path, keys: np.ndarray, counts: np.ndarray) -> None:
    # It saves time, no more: a disk that is full or not writable is told where it matters.
    with suppress(OSError), replacing(file, shared=True) as temporary, open(temporary, "wb") as target:
        np.savez(target, keys=keys, counts=counts)


def map_in_threads(function: Callable, items: Sequence, title: str) -> Iterator:
    """The results of a function for the items, in their order, with a progress bar of that title."""
    progress = tqdm(total=len(items), desc=title, leave=False, delay=1.0, disable=None)
    with progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), ITEMS_AT_ONCE):
            for result in pool.map(function, items[start : start + ITEMS_AT_ONCE]):
                progress.update()
                yield result
