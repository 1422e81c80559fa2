"""Building blocks of a training: model and loss on their device, and what is printed at the start."""

import random

import cv2
import numpy as np
import torch
from timm.layers import convert_sync_batchnorm

from segtrain.config.libraries import find
from segtrain.config.schema import Config
from segtrain.data.loaders import Loaders
from segtrain.data.statistics import ClassStatistics
from segtrain.distributed import is_several, rank, size
from segtrain.errors import ConfigError, count_of
from segtrain.losses.build import build_loss
from segtrain.losses.weighted import WeightedLoss
from segtrain.models.model import SegmentationModel, build_model, describe_parameters
from segtrain.training.run import Run
from segtrain.training.state import TrainState, is_lowest


def seed_everything(seed: int) -> None:
    """Seed every generator that a library may use. Samples have their own seeds."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    cv2.setNumThreads(0)


def place_model(config: Config, device: torch.device, *, pretrained: bool = True) -> SegmentationModel:
    """The model of an experiment on its device, in the memory layout for training; see build_model."""
    channels, outputs = config.data.channels, len(config.data.classes)
    whole = pretrained and config.model.weights is not None
    model = build_model(
        config.model, channels=channels, outputs=outputs, pretrained=pretrained and not whole, training=True
    )
    if "." in config.model.name:
        from segtrain.models.own import try_network

        try_network(model, config.model.name, outputs=outputs)
    if whole:
        from segtrain.training.transfer import load_weights

        model.origin = load_weights(model, config)
    if config.train.freeze_encoder_epochs and model.encoder is None:
        raise ConfigError(f"train.freeze_encoder_epochs: {config.model.name} has no encoder; write 0")
    if device.type == "cuda" and is_several() and config.train.sync_batchnorm:
        model = convert_sync_batchnorm(model)
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    return model.to(device, memory_format=layout)


def place_loss(config: Config, device: torch.device, *, statistics: ClassStatistics | None) -> WeightedLoss:
    """The loss of an experiment on its device, after a trial call: raises ConfigError for a term that rejects the
    number of classes (too few class weights, for example), which it only sees when it is called."""
    data = config.data
    arrays = statistics.arrays if statistics is not None else None
    loss = build_loss(
        config.loss,
        mode=data.mode,
        ignore_index=data.ignore_index,
        class_statistics=arrays,
        aux=config.model.aux,
        gathers=config.train.gather_loss,
    )
    logits = torch.zeros(2, len(data.classes), 64, 64)
    mask = torch.zeros(logits.shape if data.multilabel else (2, 64, 64), dtype=torch.int64)
    if is_lowest(config.train.monitor) and all(term.takes != "logits" for term in loss.losses):
        named = ", ".join(loss.terms)
        raise ConfigError(
            f"train.monitor: min loss: {named} has no value in validation; write miou or add another term"
        )
    for name, term in zip(loss.terms, loss.losses, strict=True):
        if term.takes != "logits":
            if term.takes not in getattr(find("model", config.model.name), "further_outputs", ()):
                raise ConfigError(f"loss.{name}: needs an output '{term.takes}', which {config.model.name} lacks")
            if not config.model.aux:
                raise ConfigError(f"loss.{name}: needs an auxiliary output; write model.aux: 1 or another factor")
            continue
        try:
            term(logits, mask)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"loss.{name}: {' '.join(str(error).split())}") from error
    return loss.to(device)


def describe_training(
    run: Run, state: TrainState, loaders: Loaders, loss: WeightedLoss, statistics: ClassStatistics
) -> None:
    """Print what is about to be trained, on which data, and where it will be saved."""
    model, train = run.config.model, run.config.train
    precision = str(state.dtype).removeprefix("torch.")
    run.log.say(f"run      {run.folder}")
    run.log.say(f"data     {len(loaders.train.dataset)} training and {len(loaders.val.dataset)} validation images")
    run.log.say(f"classes  {statistics.describe()}")
    run.log.say(f"model    {model.title}, {describe_parameters(state.model)}")
    if state.model.origin:
        run.log.say(f"start    {state.model.origin}")
    for name, weights in loss.class_weights.items():
        pairs = zip(run.config.data.class_names, weights, strict=False)
        run.log.say(f"weights  {name}: {', '.join(f'{key} {value:.2f}' for key, value in pairs)}")
    if is_several():
        apart = [name for name, term in zip(loss.terms, loss.losses, strict=True) if term.whole_batch]
        if apart and not loss.gathers:
            run.log.say(f"loss     {', '.join(apart)}: separately in each process (train.gather_loss: false)")
        if any(type(module).__name__.startswith("BatchNorm") for module in state.model.modules()):
            run.log.say("norm     BatchNorm computes its statistics separately in each process")
    steps = loaders.train.steps_per_epoch
    length = f"{count_of(train.epochs, 'epoch')} of {count_of(steps, 'step')} of "
    length += count_of(loaders.train.batch_size, "image")
    length += f", at most {train.max_steps} steps" if train.max_steps else ""
    length += f", at most {train.max_hours:g} hours" if train.max_hours else ""
    devices = f"{state.device.type}, {size()} processes" if is_several() else state.device
    run.log.say(f"train    {length}, {precision} on {devices}")
    if loaders.train.dataset.mix is not None and rank() == 0:
        from segtrain.training.mixed import draw_mixed

        draw_mixed(run, loaders.train.dataset)
        run.log.say(f"mix      {loaders.train.dataset.mix.share:.0%} of the samples, examples in {run.folder}/mixed")
    if state.total_steps:
        run.log.say(f"resume   after {count_of(state.epoch, 'epoch')} and {count_of(state.step, 'step')}")
