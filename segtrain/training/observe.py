"""Observation: what Weights & Biases is told of a training beside its log."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from segtrain.data.loaders import Loaders
from segtrain.distributed import size
from segtrain.models.model import count_parameters
from segtrain.training.resume import list_versions
from segtrain.training.run import Run
from segtrain.training.state import TrainState


def observe(state: TrainState, loaders: Loaders, run: Run) -> None:
    """Once all is built: add to the run's configuration what `auto` and the dataset became, and from now on log
    histograms where they are asked for."""
    run.log.describe(describe_resolved(state, loaders, run))
    if run.config.log.wandb.watch:
        watch(state, run)


def describe_resolved(state: TrainState, loaders: Loaders, run: Run) -> dict[str, Any]:
    """The values in plain types. `fingerprint`: of each split, the digest of the names of its samples."""
    parameters, trained = count_parameters(state.model)
    prints = loaders.fingerprints
    return {
        "device": str(state.device),
        "gpu": torch.cuda.get_device_name(state.device) if state.device.type == "cuda" else None,
        "processes": size(),
        "precision": str(state.dtype).removeprefix("torch."),
        "images": {split: count for split, (count, _) in prints.items()},
        "fingerprint": {split: digest for split, (_, digest) in prints.items()},
        "classes": len(run.config.data.class_names),
        "parameters": parameters,
        "trained_parameters": trained,
        "batch_size": loaders.train.batch_size,
        "steps_per_epoch": loaders.train.steps_per_epoch,
        "versions": dict(line.split(": ") for line in list_versions()),
    }


def watch(state: TrainState, run: Run) -> None:
    """Log histograms of parameters and their gradients every log.wandb.watch_every_steps steps, just before the
    optimizer's step, under the names that wandb.watch gives them. Only then the device is waited for.

    wandb.watch itself writes into the row that is open when its hooks run. Here rows wait until a checkpoint covers
    them, see segtrain.log.log, so that it would put them into another one.
    """
    what, every = run.config.log.wandb.watch, run.config.log.wandb.watch_every_steps

    def look(optimizer: Optimizer, _arguments: tuple, _named: dict) -> None:
        step = state.total_steps + state.plan["accumulate_steps"]  # the state has not counted this one yet
        if step // every == state.total_steps // every:
            return
        scaler = getattr(optimizer, "grad_scale", None)  # of a fused optimizer, which divides by itself
        scale = 1.0 if scaler is None else float(scaler)
        found = {}
        for name, parameter in state.model.named_parameters():
            if what in ("gradients", "all") and parameter.grad is not None:
                found[f"gradients/{name}"] = _count(parameter.grad / scale)
            if what in ("parameters", "all"):
                found[f"parameters/{name}"] = _count(parameter.detach())
        run.log.histograms(step, found)

    state.optimizer.register_step_pre_hook(look)


def _count(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return np.histogram(values[torch.isfinite(values)].float().cpu().numpy(), bins=64)  # as many as wandb has
