"""Decoded images and masks that are kept in memory, shared by the processes that are forked later."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from segtrain.data.dataset import EvalSamples, TrainSamples
from segtrain.errors import DataError
from segtrain.images import reading
from segtrain.memory import read_available_bytes, show_bytes

MEASURED = 200  # images whose headers are read for the estimate
LARGEST_SHARE = 0.8  # of the memory that is there; the training needs some too


def estimate_bytes(dataset: TrainSamples | EvalSamples) -> int:
    """Memory that all images and masks of a data set take, decoded, from the headers of some of them."""
    count = len(dataset)
    places = np.unique(np.linspace(0, count - 1, min(count, MEASURED)).astype(int)).tolist()
    pixels = [int(np.prod(reading.image_size(dataset.samples[place].image))) for place in places]
    options, decoder = dataset.image_options, dataset.decoder
    image_bytes = options["channels"] * (1 if "scale" not in options else 4)
    mask_bytes = decoder.dtype.itemsize * (len(decoder.classes) if decoder.multilabel else 1)
    return round(count * float(np.mean(pixels)) * (image_bytes + mask_bytes))


def keep_in_memory(datasets: Sequence[TrainSamples | EvalSamples]) -> None:
    """Read everything once, after a line that says what it takes. Raises DataError, before anything is read, where the
    memory does not suffice by that estimate."""
    needed, free = sum(map(estimate_bytes, datasets)), read_available_bytes()
    if free is not None and needed > LARGEST_SHARE * free:
        raise DataError(
            f"data.cache: ram: {sum(map(len, datasets))} images take about {show_bytes(needed)} in memory, and "
            f"{show_bytes(free)} are free; write data.cache: null, or make the files smaller"
        )
    print(f"memory   about {show_bytes(needed)} for {sum(map(len, datasets))} images and masks (data.cache: ram)")
    for dataset in datasets:
        kept = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = pool.map(dataset.load, range(len(dataset)))
            for pair in tqdm(
                read, total=len(dataset), desc="reading into memory", leave=False, delay=1.0, disable=None
            ):
                kept.append(pair)
        dataset.kept = kept
