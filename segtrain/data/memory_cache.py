"""Images and masks kept in memory: `data.cache: ram`."""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from segtrain.data.dataset import Kept, read_sample
from segtrain.data.labels import Decoder
from segtrain.data.statistics import map_in_threads
from segtrain.distributed import from_first_of_machine, highest, local_size
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable
from segtrain.images.reading import image_size
from segtrain.memory import read_available_bytes, show_bytes

MEASURED = 200  # images whose headers are read to estimate the memory for all
LARGEST_SHARE = 0.8  # of the free memory; the training needs some too


def estimate_memory(samples: SampleTable, decoder: Decoder, image_options: dict[str, Any]) -> int:
    """Memory for all images and masks, decoded, estimated from the headers of some of them."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), MEASURED)).astype(int)).tolist()
    pixels = [int(np.prod(image_size(samples[index].image))) for index in chosen]
    image_bytes = image_options["channels"] * (1 if "scale" not in image_options else 4)
    mask_bytes = decoder.dtype.itemsize * (len(decoder.classes) if decoder.multilabel else 1)
    return round(len(samples) * float(np.mean(pixels)) * (image_bytes + mask_bytes))


def keep_in_memory(tables: Sequence[SampleTable], decoder: Decoder, image_options: dict[str, Any]) -> list[Kept]:
    """Read all images and masks of some splits, after printing the memory that they need. Processes that are forked
    later share them, and so do those that torchrun started on this computer. Raises DataError, before anything is read,
    if the estimate exceeds the free memory."""

    def read_all() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        _require_memory(tables, decoder, image_options)
        read = partial(read_sample, decoder=decoder, image_options=image_options)
        return map_in_threads(read, [sample for samples in tables for sample in samples], "reading into memory")

    if local_size() > 1 and hasattr(os, "memfd_create"):
        pairs: Sequence = SharedPairs(read_all)
    else:
        pairs = list(read_all())
    ends = list(accumulate(map(len, tables), initial=0))
    return [[pairs[index] for index in range(*span)] for span in pairwise(ends)]


def _require_memory(tables: Sequence[SampleTable], decoder: Decoder, image_options: dict[str, Any]) -> None:
    count, free = sum(map(len, tables)), read_available_bytes()
    needed = sum(estimate_memory(samples, decoder, image_options) for samples in tables)
    if free is not None and needed > LARGEST_SHARE * free:
        raise DataError(
            f"data.cache: ram: {count} images need about {show_bytes(needed)} of memory, but {show_bytes(free)} are "
            f"free; write data.cache: null, or make the images smaller"
        )
    print(f"memory   about {show_bytes(needed)} for {count} images and masks (data.cache: ram)")


class SharedPairs:
    """Images and masks in memory that the processes on this computer share: the first reads them, the others map them.
    The file has no name, so that nothing is left of it if a process is killed. Changes that a process makes in an array
    are its own."""

    def __init__(self, read_all: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]):
        self._file: int | None = None
        path, self._places = from_first_of_machine(lambda: self._write(read_all()))
        with open(path, "rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        highest(0.0)  # all have opened it
        if self._file is not None:
            os.close(self._file)

    def _write(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[str, list]:
        """The path of the file, and (first byte, shape, dtype) of each array."""
        self._file = os.memfd_create("segtrain")
        places: list[list] = []
        with open(self._file, "wb", closefd=False) as file:
            for pair in pairs:
                places.append([])
                for array in pair:
                    places[-1].append((file.tell(), array.shape, array.dtype.str))
                    file.write(np.ascontiguousarray(array).data)
        return f"/proc/{os.getpid()}/fd/{self._file}", places

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(np.ndarray(shape, dtype, self._memory, start) for start, shape, dtype in self._places[index])
