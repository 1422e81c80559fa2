"""Batch size that fits: `data.batch_size: auto`, a number before the training begins."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count

import torch

from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.dataset import Batch, TrainSamples
from segtrain.data.labels import build_decoder
from segtrain.data.transforms import build_transform
from segtrain.distributed import highest, is_several, local_size, size
from segtrain.errors import TrainingError, is_out_of_memory
from segtrain.formats.sample import SampleTable
from segtrain.memory import choose_batch, read_available_bytes, show_bytes
from segtrain.training import build
from segtrain.training.loop import train_step
from segtrain.training.state import build_state

SHARE_OF_GPU = 0.9  # of the memory that is free at the start
BATCHES_PER_EPOCH = 4  # at least
SMALLEST = 2  # images: BatchNorm may need two
TRIED_STEPS = 2  # of the optimizer, which has its own state from the first one on


def fix_batch_size(config: Config, samples: SampleTable, device: torch.device, *, resume: str | None) -> Config:
    """The experiment with a number for `data.batch_size: auto`, which is printed: that of the run that is resumed, else
    what fits. On a CUDA GPU steps are tried on a model that is thrown away; elsewhere it is the estimate that `init`
    has, at most 8 images on a CPU, where larger batches gain little. Of several processes each takes the smallest
    share that fits one of them. What follows is the training that the number itself would give.

    Raises TrainingError where two images are too many.
    """
    if resume is not None:
        batch_size = load_config([], resume=resume).data.batch_size
        reason = "as at the start of the run"
    else:
        image = _read_sample(config, samples)
        height, width = image["image"].shape[-2:]
        if device.type == "cuda":
            share, reason = _try_on_gpu(config, image, len(samples), device)
        else:
            free = read_available_bytes()
            free = free // local_size() if free is not None else None
            kind = "cpu" if device.type == "cpu" else "gpu"
            share = choose_batch((height, width), count=len(samples) // size(), kind=kind, free_bytes=free)
            reason = f"by estimate, {show_bytes(free)} of memory free" if free is not None else "by estimate"
        batch_size = -int(highest(-share)[0]) * size()
        build.seed_everything(config.seed)
        reason = f"of {width} x {height} pixels, {reason}"
    print(f"batch    {batch_size} images {reason} (data.batch_size: auto)")
    return config.model_copy(update={"data": config.data.model_copy(update={"batch_size": batch_size})})


def grid(most: int) -> Iterable[int]:
    """Batch sizes to choose from, 2, 3, 4, 6, 8, 12, 16, .. up to `most`: few, so that a little less free memory gives
    the same training, and never less than two thirds of what would fit."""
    for power in count(1):
        for number in (2**power, 3 * 2 ** (power - 1)):
            if number > max(most, SMALLEST):
                return
            yield number


def find_largest(measure: Callable[[int], float], sizes: Iterable[int], *, budget: float) -> int:
    """The largest of rising batch sizes whose peak of memory is within a budget; 0 if none is.

    Sizes are measured one after the other, and not past the first one that a line through the last two measurements
    puts above the budget: memory runs out only where it does not grow evenly.

    Args:
        measure: bytes at the peak of a step with so many images; inf where memory runs out.
        sizes: to choose from.
        budget: bytes that may be taken.
    """
    known: list[tuple[int, float]] = [(0, 0.0)]
    for number in sizes:
        if len(known) > 2:
            (first, less), (second, more) = known[-2:]
            if more + (more - less) / (second - first) * (number - second) > budget:
                break
        peak = measure(number)
        if peak > budget:
            break
        known.append((number, peak))
    return known[-1][0]


def _read_sample(config: Config, samples: SampleTable) -> Batch:
    """A training batch of one image."""
    transform = build_transform(config.transforms.train, ignore_index=config.data.ignore_index)
    options = {"image_options": config.data.image_options, "transform": transform, "seed": config.seed}
    return TrainSamples(samples, build_decoder(config.data), **options).batch([(0, 0)])


def _try_on_gpu(config: Config, sample: Batch, images: int, device: torch.device) -> tuple[int, str]:
    """The share of a batch for this process, and where it comes from."""
    torch.cuda.empty_cache()
    free_bytes = torch.cuda.mem_get_info(device)[0]
    model = build.place_model(config, device, pretrained=False)
    loss = build.place_loss(config, device, statistics=None)
    state = build_state(config.model_copy(update={"schedule": None}), model, steps_per_epoch=1)
    state = replace(state, shared=None, callable=model)  # no process waits for the gradients of the others
    model.train()

    def measure(number: int) -> float:
        batch = {key: torch.cat([value] * number) for key, value in sample.items() if key != "name"}
        torch.cuda.reset_peak_memory_stats(device)
        peak = 0.0
        try:
            for _ in range(TRIED_STEPS):
                train_step(state, [batch], loss, config.train)
            peak = torch.cuda.max_memory_reserved(device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            peak = float("inf")
        torch.cuda.empty_cache()
        return highest(peak)[0] if is_several() else peak

    most = images // BATCHES_PER_EPOCH // size()
    share = find_largest(measure, grid(most), budget=SHARE_OF_GPU * free_bytes)
    if not share:
        raise TrainingError(
            f"not enough memory: {show_bytes(free_bytes)} are free on {device}, but a batch of {SMALLEST} images "
            f"needs more; reduce the crop in transforms.train or use a smaller network"
        )
    return (
        share,
        f"the largest tried that uses at most {SHARE_OF_GPU:.0%} of the {show_bytes(free_bytes)} that are free",
    )
