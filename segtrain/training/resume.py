"""Resumption: the run folder of a training, new or as its last.pt left it, and what keeps the two apart."""

from pathlib import Path

import torch
from pydantic import ValidationError
from torch.optim import Optimizer

from segtrain.checkpoint import LAST, find_checkpoint, load_checkpoint
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError, first_fault
from segtrain.inference.task import Task
from segtrain.training.run import Run, start_run
from segtrain.training.state import TrainState


def start_or_resume(config: Config, state: TrainState, *, resume: str | None) -> Run:
    """A new run folder; or with `resume` that folder, and the state set to where its last.pt stands."""
    if resume is None:
        return start_run(config)
    path = find_checkpoint(Path(resume), LAST)
    content = load_checkpoint(path)
    if content.get("kind") != "last":
        raise CheckpointError(
            f"{path}: is not a checkpoint to resume from, it holds only weights; take the run's own {LAST}"
        )
    _require_same_task(config, content, path)
    state.load_dict(content)
    _require_shapes(state.optimizer, path)
    run = start_run(config, resume=Path(resume), resumed=content)
    run.announce_best(state)
    for split, (count, digest) in content.get("samples", {}).items():
        now, digest_now = state.samples[split]
        if digest_now != digest:
            run.log.say(f"warning: the {split} images are others than when the run was saved: {now} now, {count} then")
    return run


def _require_same_task(config: Config, content: dict, path: Path) -> None:
    """Raises CheckpointError where the run was begun with other classes or images: its weights and its scores would go
    on under wrong names."""
    try:
        before = Task.of(Config.model_validate(content["config"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: there is none") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: {first_fault(error)}") from error
    if difference := Task.of(config).difference(before):
        was, now = difference
        raise CheckpointError(f"{path}: was trained with {was}, not with {now}; leave --resume out to start a new run")


def _require_shapes(optimizer: Optimizer, path: Path) -> None:
    """Raises CheckpointError where what torch's optimizer keeps for a weight has another shape: fused steps would read
    and write past it."""
    if type(optimizer).__module__.startswith("torch.") and not isinstance(optimizer, torch.optim.Adafactor):
        for parameter, kept in optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                    shapes = f"{tuple(value.shape)}, and its weight is {tuple(parameter.shape)}"
                    raise CheckpointError(f"{path}: is damaged: the optimizer's {name} has the shape {shapes}")
