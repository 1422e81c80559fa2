"""Bottleneck: why a training waits for its images, and what to set."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from segtrain.data.dataset import TrainSamples, sample_seed
from segtrain.data.loaders import TrainLoader
from segtrain.data.memory_cache import LARGEST_SHARE, estimate_memory
from segtrain.distributed import local_size
from segtrain.files import read_content, split_window
from segtrain.formats.sample import Sample
from segtrain.memory import count_cores, read_available_bytes, show_bytes

TRIED_IMAGES = 16  # fewer where they take longer than
LONGEST_SECONDS = 5.0
LARGE = 4  # times the pixels of a crop: an image that is read for the most part in vain
CROPPING = ("RandomCrop", "ClassCrop", "CropNonEmptyMaskIfExists", "RandomResizedCrop", "RandomSizedCrop", "CenterCrop")


class Costs(NamedTuple):
    """Milliseconds per image: to read its files, to decode them, and for each of the transforms, in their order; and
    the ratio of its pixels to those of the result."""

    disk: float
    decoding: float
    transforms: list[tuple[str, float]]
    reduction: float


def explain_wait(loader: TrainLoader, share: float) -> str:
    """A line for a training that spent `share` of the time, 0..1, waiting for its images. Some are read and augmented
    to measure it."""
    costs, workers = measure_costs(loader.dataset), loader.loader.num_workers
    augmentation = sum(taken for _, taken in costs.transforms)
    named = f"{costs.disk:.0f} ms to read, {costs.decoding:.0f} to decode and {augmentation:.0f} to augment"
    by = f"{workers} reading processes" if workers > 1 else "one process"
    if loader.dataset.mix is not None:
        by += f", and data.mix reads a second one for {loader.dataset.mix.share:.0%} of them"
    return (
        f"the loader is the bottleneck: {share:.0%} of the time is spent waiting for images; each takes {named}, in "
        f"{by}; {' or '.join(_advice(loader.dataset, costs, workers))}"
    )


def measure_costs(dataset: TrainSamples) -> Costs:
    """The costs of some images, spread over the dataset."""
    started, rows, reduction = time.perf_counter(), [], []
    names = [type(child).__name__ for child in dataset.transform.transforms]
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), TRIED_IMAGES)).astype(int)).tolist():
        sample = dataset.samples[index]
        clock = [time.perf_counter()]
        for path in _files(sample) if dataset.kept is None else ():
            if split_window(path)[1] is None:  # of a large file only a part is read
                read_content(path)
        clock.append(time.perf_counter())
        image, mask = dataset.load(index)
        clock.append(time.perf_counter())
        dataset.transform.set_random_seed(sample_seed(dataset.seed, 0, index))
        arrays = {"image": image, "mask" if mask.ndim == 2 else "masks": mask}
        for child in dataset.transform.transforms:
            arrays = child(**arrays)
            clock.append(time.perf_counter())
        taken = np.diff(clock) * 1000
        rows.append([taken[0], max(taken[1] - taken[0], 0), *taken[2:]])  # to decode is to read once more
        reduction.append(image[..., 0].size / arrays["image"][..., 0].size)
        if clock[-1] - started > LONGEST_SECONDS:
            break
    disk, decoding, *transforms = np.mean(rows, axis=0).tolist()
    return Costs(disk, decoding, list(zip(names, transforms, strict=True)), float(np.mean(reduction)))


def _files(sample: Sample) -> Iterator[str]:
    yield sample.image
    yield from sample.mask_files if "\t" in sample.mask else filter(None, sample.mask.split("\n"))


def _advice(dataset: TrainSamples, costs: Costs, workers: int) -> list[str]:
    """What to set, most likely to help first."""
    cores, found = max(count_cores() // local_size(), 1), []
    if workers < cores:
        found.append(f"set data.workers: {cores}")
    if sum(taken for _, taken in costs.transforms) > costs.disk + costs.decoding:
        names, taken = zip(*costs.transforms, strict=True)
        slowest = int(np.argmax(taken))
        crop = next((name for name in names[slowest + 1 :] if name in CROPPING), None)
        took = f"{names[slowest]} ({taken[slowest]:.0f} ms)"
        crop = crop and crop.replace("ClassCrop", "RandomCrop")
        return [*found, f"put {crop} before {took}" if crop else f"apply {took} to fewer images (p), or remove it"]
    if costs.decoding > costs.disk and costs.reduction > LARGE:
        found.append(f"save smaller images; they have {costs.reduction:.0f} times the pixels of a crop")
    needed = estimate_memory(dataset.samples, dataset.decoder, dataset.image_options)
    free = read_available_bytes()
    if free is None or needed < LARGEST_SHARE * free:
        found.append(f"set data.cache: ram (about {show_bytes(needed)})")
    elif costs.disk > costs.decoding:
        found.append("set data.cache: folder, with data.cache_folder on a fast disk")
    return found or ["the processor is the limit: reduce the augmentation or the size of the images"]
