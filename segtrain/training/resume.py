"""Resumption: the run folder of a training, new or as its last.pt left it, and what keeps the two apart."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.optim import Optimizer

from segtrain.checkpoint import LAST, find_checkpoint, load_checkpoint
from segtrain.config.data_schema import DataConfig, claim_values
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError, first_fault
from segtrain.inference.task import Task
from segtrain.training.run import Run, start_run
from segtrain.training.state import TrainState

Count = Annotated[int, Field(ge=0, le=2**53)]


class Position(BaseModel):
    """See TrainState."""

    model_config = ConfigDict(strict=True)

    epoch: Count
    step: Count
    total_steps: Count


class BestSoFar(BaseModel):
    """See Best: rows of the matrix are counts, or in multilabel 2 x 2 of them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    score: float
    epoch: Count
    metrics: dict[str, float]
    matrix: list[list[Count]] | list[list[list[Count]]]
    evaluations_since: Count


class Saved(BaseModel):
    """What last.pt holds beside the weights and the states that torch takes."""

    model_config = ConfigDict(strict=True)

    wandb_id: str | None
    wandb_step: Count | None
    position: Position
    loss_sums: dict[str, float]
    best: BestSoFar
    plan: dict[str, Any]
    samples: dict[str, tuple[int, str]] = {}


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
    _require_whole(config, content, path)
    groups, schedule = _plain(state.optimizer.state_dict()["param_groups"]), _plain(state.schedule.state_dict())
    state.load_dict(content)
    _require_shapes(state.optimizer, path)
    kept = (state.optimizer.state_dict()["param_groups"], state.schedule.state_dict())
    for what, built, loaded in zip(("optimizer", "schedule"), (groups, schedule), kept, strict=True):
        if not _is_alike(built, loaded):
            raise CheckpointError(f"{path}: is damaged: the state of the {what} is not one of this {what}")
    run = start_run(config, resume=Path(resume), resumed=content)
    run.announce_best(state)
    for split, (count, digest) in content.get("samples", {}).items():
        now, digest_now = state.samples.get(split, (0, digest))
        if digest_now != digest:
            run.log.say(f"warning: the {split} images are others than when the run was saved: {now} now, {count} then")
    if _read_masks(config.data) != _read_masks(Config.model_validate(content["config"]).data):
        run.log.say(
            "warning: data.classes and data.ignore_values read the masks in another way than the run did before"
        )
    return run


def _read_masks(data: DataConfig) -> tuple:
    """What decides which class a pixel is; a colour that is for pictures does not."""
    options = {"ignore_values": data.ignore_values or [], "ignore_index": data.ignore_index}
    groups = [[item.layer()] for item in data.classes] if data.multilabel else [data.classes]
    claims = [claim_values(group, **options) for group in groups]
    return claims, data.mask_band, [item.labels or [item.name] for item in data.classes]


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


def _require_whole(config: Config, content: dict, path: Path) -> None:
    """Raises CheckpointError where a value of a checkpoint is missing, or is not what a training saves."""
    try:
        saved = Saved.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: is damaged: {first_fault(error)}") from error
    task = Task.of(config)
    row = (2, 2) if task.mode == "multilabel" else (len(task.names),)
    matrix = saved.best.matrix
    if matrix and (len(matrix) != len(task.names) or any(_shape(item) != row for item in matrix)):
        raise CheckpointError(f"{path}: is damaged: best.matrix is not that of {len(task.names)} classes")


def _shape(row: list) -> tuple[int, ...] | None:
    """The shape of a list of numbers, or of lists of one length; None for any other."""
    inner = {len(item) if isinstance(item, list) else 0 for item in row}
    return None if len(inner) != 1 else (len(row), *(inner - {0}))


def _plain(value: Any) -> Any:
    """A copy of a state to compare with a loaded one, without weights, which have no order to compare."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_alike(built: Any, loaded: Any) -> bool:
    """Whether two states have the same keys, with numbers where there are numbers, and words where there are words."""
    if isinstance(built, dict):
        same = isinstance(loaded, dict) and built.keys() == loaded.keys()
        return same and all(_is_alike(value, loaded[key]) for key, value in built.items())
    if isinstance(built, (list, tuple)):
        same = isinstance(loaded, (list, tuple)) and len(built) == len(loaded)
        return same and all(map(_is_alike, built, loaded))
    if built is None or isinstance(built, torch.Tensor):
        return loaded is None or isinstance(loaded, (int, float, torch.Tensor))
    if isinstance(built, (int, float)):
        return isinstance(loaded, (int, float)) and loaded == loaded
    return type(built) is type(loaded)


def _require_shapes(optimizer: Optimizer, path: Path) -> None:
    """Raises CheckpointError where what torch's optimizer keeps for a weight has another shape: fused steps would read
    and write past it."""
    if type(optimizer).__module__.startswith("torch.") and not isinstance(optimizer, torch.optim.Adafactor):
        for parameter, kept in optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                    shapes = f"{tuple(value.shape)}, and its weight is {tuple(parameter.shape)}"
                    raise CheckpointError(f"{path}: is damaged: the optimizer's {name} has the shape {shapes}")
