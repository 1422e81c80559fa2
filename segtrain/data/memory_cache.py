"""Images and masks that are kept in memory: `data.cache: ram`."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from segtrain.data.dataset import Kept, read_sample
from segtrain.data.labels import Decoder
from segtrain.data.statistics import map_in_threads
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable
from segtrain.images.reading import image_size
from segtrain.memory import read_available_bytes, show_bytes

MEASURED = 200  # images whose headers are read to estimate the memory for all
LARGEST_SHARE = 0.8  # of the free memory; the training needs some too


def estimate_memory(samples: SampleTable, decoder: Decoder, image_options: dict[str, Any]) -> int:
    """Memory that all images and masks take, decoded, from the headers of some of them."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), MEASURED)).astype(int)).tolist()
    pixels = [int(np.prod(image_size(samples[index].image))) for index in chosen]
    image_bytes = image_options["channels"] * (1 if "scale" not in image_options else 4)
    mask_bytes = decoder.dtype.itemsize * (len(decoder.classes) if decoder.multilabel else 1)
    return round(len(samples) * float(np.mean(pixels)) * (image_bytes + mask_bytes))


def keep_in_memory(tables: Sequence[SampleTable], decoder: Decoder, image_options: dict[str, Any]) -> list[Kept]:
    """Read all images and masks of some splits, after a line that says what memory it takes. Processes that are forked
    later share them. Raises DataError, before anything is read, where the memory does not suffice by the estimate."""
    count, free = sum(map(len, tables)), read_available_bytes()
    needed = sum(estimate_memory(samples, decoder, image_options) for samples in tables)
    if free is not None and needed > LARGEST_SHARE * free:
        raise DataError(
            f"data.cache: ram: {count} images take about {show_bytes(needed)} in memory, and {show_bytes(free)} are "
            "free; write data.cache: null, or make the files smaller"
        )
    print(f"memory   about {show_bytes(needed)} for {count} images and masks (data.cache: ram)")
    read = partial(read_sample, decoder=decoder, image_options=image_options)
    pairs = map_in_threads(read, [sample for samples in tables for sample in samples], "reading into memory")
    return [list(islice(pairs, len(samples))) for samples in tables]
