"""From a configuration to the objects of a training, and what can be said about them before the first step."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch

from segtrain.checkpoint import LAST, find_checkpoint, load_checkpoint
from segtrain.config.schema import Config
from segtrain.data.balance import ClassBalance
from segtrain.data.layers import build_decoder
from segtrain.data.loaders import Loaders
from segtrain.data.ram import keep_in_memory
from segtrain.data.statistics import ClassStatistics, count_pixels, summarize
from segtrain.data.transforms import build_eval_transform, build_transform
from segtrain.devices import resolve_device, resolve_precision
from segtrain.errors import CheckpointError, ConfigError, TrainingError
from segtrain.losses.build import build_loss
from segtrain.losses.weighted import WeightedLoss
from segtrain.models.model import SegmentationModel, build_model
from segtrain.training.optim import build_optimizer, build_schedule, describe_parameters
from segtrain.training.run import Run, start_run
from segtrain.training.state import TrainState, build_state


def seed_everything(seed: int) -> None:
    """Seed every generator that a library may draw from. Samples have seeds of their own."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    cv2.setNumThreads(0)


def place_model(config: Config, device: torch.device) -> SegmentationModel:
    """The model of an experiment on its device, in the memory layout that it is trained in."""
    model = build_model(config.model, channels=config.data.channels, outputs=len(config.data.classes))
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    return model.to(device, memory_format=layout)


def place_loss(config: Config, device: torch.device, *, statistics: ClassStatistics | None) -> WeightedLoss:
    """The loss of an experiment on its device, tried once: raises ConfigError for a term that refuses the number of
    classes (class weights that are too few, say), which it sees only when it is called."""
    data = config.data
    arrays = statistics.arrays if statistics is not None else None
    loss = build_loss(config.loss, mode=data.mode, ignore_index=data.ignore_index, class_statistics=arrays)
    logits = torch.zeros(2, len(data.classes), 64, 64)
    mask = torch.zeros(logits.shape if data.multilabel else (2, 64, 64), dtype=torch.int64)
    for name, term in zip(loss.names, loss.terms, strict=True):
        try:
            term(logits, mask)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"loss.{name}: {' '.join(str(error).split())}") from error
    return loss.to(device)


def build_training(config: Config, model: SegmentationModel, *, steps_per_epoch: int) -> TrainState:
    """Optimizer, schedule and all else that changes in a training; `steps_per_epoch` counts batches."""
    device = next(model.parameters()).device
    optimizer = build_optimizer(config.optimizer, model)
    updates = -(-steps_per_epoch // config.train.accumulate_steps)
    schedule = build_schedule(config.schedule, optimizer, epochs=config.train.epochs, steps_per_epoch=updates)
    plan = {
        "optimizer": config.optimizer.model_dump(mode="json"),
        "schedule": config.schedule and config.schedule.model_dump(mode="json"),
        "epochs": config.train.epochs,
        "updates_per_epoch": updates,
        "accumulate_steps": config.train.accumulate_steps,
    }
    return build_state(
        model,
        optimizer,
        schedule,
        device=device,
        dtype=resolve_precision(config.train.precision, device),
        ema_decay=config.train.ema_decay,
        compile_model=config.train.compile,
        plan=plan,
    )


def check(config: Config) -> None:
    """Build everything that needs no data, weights from the hub included; raises ConfigError for what cannot be
    built."""
    build_transform(config.transforms.train, ignore_index=config.data.ignore_index)
    build_eval_transform(config.transforms.val)
    build_decoder(config.data)
    model = place_model(config, resolve_device(config.train.device))
    place_loss(config, next(model.parameters()).device, statistics=None)
    build_training(config, model, steps_per_epoch=100)
    print(f"ok: {config.name}: {config.model.name} {config.model.encoder_name}, {describe_parameters(model)}")


def inspect_labels(loaders: Loaders, config: Config) -> ClassStatistics:
    """Read every mask once, so that a wrong one is told before the training; says what classes there are.

    A class without a pixel is worth a warning: its IoU will be that of a class that nobody can learn.
    """
    names = config.data.class_names
    decoder, training = loaders.decoder, loaders.train.dataset
    count_pixels(loaders.val.dataset.samples, decoder, cache=config.cache_dir)
    counts = count_pixels(training.samples, decoder, cache=config.cache_dir)
    statistics = summarize(counts, decoder, names=names)
    if config.data.balance > 0:
        training.balance = ClassBalance(config.data.balance, counts[:, : decoder.width] > 0)
    if statistics.absent():
        print(
            f"warning: no training mask has a pixel of: {', '.join(statistics.absent())}; "
            "are the values in data.classes right?"
        )
    return statistics


def keep_images(loaders: Loaders, config: Config) -> None:
    """With data.cache, read all images and masks into memory, and say first how much that is. Raises DataError where
    the memory does not suffice."""
    if config.data.cache is not None:
        keep_in_memory([loaders.train.dataset, loaders.val.dataset])
        loaders.train_eval.dataset.kept = loaders.train.dataset.kept


def start_or_resume(config: Config, state: TrainState, *, resume: str | None) -> Run:
    """A new run folder; or with `resume` that folder, and the state set to where its last.pt stands."""
    if resume is None:
        return start_run(config)
    path = find_checkpoint(Path(resume), LAST)
    content = load_checkpoint(path)
    if content.get("kind") != "last":
        raise CheckpointError(
            f"{path}: is no checkpoint to resume from, it holds weights alone; take the run's own {LAST}"
        )
    state.load_dict(content)
    run = start_run(config, resume=Path(resume), resumed=content)
    run.announce_best(state)
    return run


def describe(run: Run, state: TrainState, loaders: Loaders, loss: WeightedLoss, statistics: ClassStatistics) -> None:
    """Say what is about to be trained, on what, and where it will lie."""
    model, train = run.config.model, run.config.train
    precision = str(state.dtype).removeprefix("torch.")
    run.log.say(f"run      {run.folder}")
    run.log.say(f"data     {len(loaders.train.dataset)} training and {len(loaders.val.dataset)} validation images")
    run.log.say(f"classes  {statistics.describe()}")
    run.log.say(f"model    {model.name} {model.encoder_name}, {describe_parameters(state.model)}")
    for name, weights in loss.class_weights.items():
        listed = ", ".join(
            f"{key} {value:.2f}" for key, value in zip(run.config.data.class_names, weights, strict=False)
        )
        run.log.say(f"weights  {name}: {listed}")
    steps = loaders.train.steps_per_epoch
    length = f"{train.epochs} epochs of {steps} steps of {loaders.train.batch_size} images"
    run.log.say(f"train    {length}, {precision} on {state.device}")
    if state.total_steps:
        run.log.say(f"resume   after {state.epoch} epochs and {state.step} steps")


@contextmanager
def explained_failures(config: Config) -> Iterator[None]:
    """Turn failures of torch whose cause is a setting into one line that names the setting."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(_no_memory(config, str(error))) from error
    except MemoryError as error:
        raise TrainingError(_no_memory(config, str(error))) from error
    except (RuntimeError, ValueError) as error:
        text = str(error)
        if "can't allocate memory" in text or "out of memory" in text.lower():
            raise TrainingError(_no_memory(config, text)) from error
        if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
            raise TrainingError(
                f"a process that reads images was ended from outside ({' '.join(text.split())[:120]}), most likely for "
                f"lack of memory; lower data.workers (now {config.data.workers}) or data.batch_size (now "
                f"{config.data.batch_size}); in a container give more shared memory, like --shm-size=4g"
            ) from error
        if "Expected more than 1 value per channel" in text:
            raise TrainingError(
                f"data.batch_size: {config.model.name} with {config.model.encoder_name} has a BatchNorm that needs two "
                "images or more in a training batch, and there is one; raise data.batch_size, with as many images"
            ) from error
        raise


def _no_memory(config: Config, text: str) -> str:
    return (
        f"not enough memory ({' '.join(text.split())[:120]}); lower data.batch_size (now {config.data.batch_size}; "
        "train.accumulate_steps makes up for it), the crop in transforms.train, data.eval_batch_size, or take "
        f"a smaller model.encoder_name (now {config.model.encoder_name})"
    )
