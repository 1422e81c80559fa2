"""Resuming: the run folder of a training, new or as its last.pt left it, and the checks that both match."""

import math
import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.optim import Optimizer

from segtrain.checkpoint import LAST, find_checkpoint, load_checkpoint, lock_run
from segtrain.command import StopSignal
from segtrain.config.data_schema import DataConfig, claim_values
from segtrain.config.schema import Config
from segtrain.config.tree import dump_yaml, flatten
from segtrain.distributed import from_first, rank, require_same, size
from segtrain.errors import CheckpointError, first_fault
from segtrain.files import make_numbered_folder, replacing
from segtrain.inference.task import Task
from segtrain.log.log import Log
from segtrain.training.run import Run, plain_config
from segtrain.training.state import TrainState

LISTED_PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "timm", "albumentations", "numpy", "wandb")

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
    """The content of last.pt, without weights and states for torch."""

    model_config = ConfigDict(strict=True)

    wandb_id: str | None
    wandb_step: Count | None
    position: Position
    loss_sums: dict[str, float]
    best: BestSoFar
    plan: dict[str, Any]
    origin: str = ""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    samples: dict[str, tuple[int, str]] = {}
    processes: Count | None = None


def start_or_resume(config: Config, state: TrainState, *, resume: str | None, folder: Path | None = None) -> Run:
    """A new run folder, `folder` or the next one of the experiment; or with `resume` that folder, and the state set to
    the position of its last.pt."""
    if resume is None:
        return start_run(config, state.model.origin, folder=folder)
    path, content = from_first(lambda: _read_last(Path(resume)))
    if content.get("kind") != "last":
        raise CheckpointError(f"{path}: cannot be resumed, because it contains only weights; use {LAST} of the run")
    _require_same_task(config, content, path)
    _require_whole(config, content, path)
    groups, schedule = _plain(state.optimizer.state_dict()["param_groups"]), _plain(state.schedule.state_dict())
    state.load_dict(content)
    _require_shapes(state.optimizer, path)
    kept = (state.optimizer.state_dict()["param_groups"], state.schedule.state_dict())
    for what, built, loaded in zip(("optimizer", "schedule"), (groups, schedule), kept, strict=True):
        if not _is_alike(built, loaded):
            raise CheckpointError(f"{path}: is damaged: the state of the {what} does not belong to this {what}")
    run = start_run(config, state.model.origin, resume=Path(resume), resumed=content)
    run.announce_best(state)
    if changes := list_changes(content["config"], plain_config(config)):
        run.log.say(f"changed  {'; '.join(changes)}")
    for split, (count, digest) in content.get("samples", {}).items():
        now, digest_now = state.samples.get(split, (0, digest))
        if digest_now != digest:
            run.log.say(f"warning: the {split} images have changed since the run was saved: {now} now, {count} then")
    if _read_masks(config.data) != _read_masks(Config.model_validate(content["config"]).data):
        run.log.say("warning: data.classes and data.ignore_values read the masks differently than before in this run")
    before = content.get("processes") or size()  # files of older versions do not say
    if before != size():
        run.log.say(
            f"note: the number of processes has changed from {before} to {size()}: the images, their order and their "
            f"augmentation stay the same; dropout draws different random numbers, and BatchNorm on CPUs sees "
            f"different parts of a batch"
        )
    return run


def list_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The differences between two plain configurations, as `optimizer.lr: 0.001 -> 0.0005`; a list is one value."""
    was, becomes = flatten(before), flatten(now)
    keys = [key for key in {**was, **becomes} if was.get(key) != becomes.get(key)]
    return [f"{key}: {_in_short(was.get(key))} -> {_in_short(becomes.get(key))}" for key in keys]


def _in_short(value: Any) -> str:
    text = dump_yaml(value, width=math.inf, default_flow_style=True).removesuffix("\n...\n").strip()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read_last(run: Path) -> tuple[Path, dict[str, Any]]:
    path = find_checkpoint(run, LAST)
    return path, load_checkpoint(path)


def start_run(
    config: Config,
    origin: str = "",
    *,
    folder: Path | None = None,
    resume: Path | None = None,
    resumed: dict[str, Any] | None = None,
) -> Run:
    """Create `folder`, or the next run folder of this experiment, or open the one that is resumed; write how it was
    started. `origin` is that of the model. Only the first of several processes has the folder."""
    if rank():
        from segtrain.training.follower import Follower

        return Follower(config)
    try:
        folder = resume or folder
        if folder is None:
            folder = make_numbered_folder(config.runs_dir / config.name)
        folder.mkdir(parents=True, exist_ok=True)
        others = any(path.name[0] != "." for path in folder.iterdir())  # a process that is killed may leave its lock
        if resume is None and others and not (folder / "config.yml").exists():
            raise CheckpointError(
                f"{folder}: contains files that are not from a run; give --run-folder a new folder or a run folder"
            )
        lock = lock_run(folder)
        if resume is None and (folder / LAST).exists():
            raise CheckpointError(f"{folder}: another process has just started it; repeat the command to resume it")
        text = dump_yaml(plain_config(config))
        with replacing(folder / "config.yml") as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")  # of file names
        with open(folder / "environment.txt", "a", encoding="utf-8") as file:
            file.write(describe_environment() + (f"weights: {origin}\n" if origin else "") + "\n")
        log = Log(
            folder,
            config.log,
            run_name=folder.name,
            resolved_config=plain_config(config),
            class_names=Task.of(config).picture_names,
            wandb_id=resumed["wandb_id"] if resumed else None,
            resume_epoch=resumed["position"]["epoch"] if resumed else None,
            resume_step=resumed["wandb_step"] if resumed else None,
            resume_total_steps=resumed["position"]["total_steps"] if resumed else 0,
            resume_seconds=resumed.get("seconds", 0.0) if resumed else 0.0,
        )
    except OSError as error:
        where = folder or config.runs_dir
        raise CheckpointError(f"{where}: cannot create a run folder there: {error.strerror}") from error
    if not lock.is_locked:
        log.say(f"warning: {folder} cannot be locked on this file system; do not start a second training in it")
    return Run(folder, config, log, StopSignal(), lock)


def describe_environment() -> str:
    """Command, time, commit, machine and versions, a line each."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    lines = [
        f"command: {shlex.join(sys.argv)}",
        f"time: {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"commit: {_git('rev-parse', 'HEAD') or 'unknown'}{' with changes' if _git('status', '--porcelain') else ''}",
        f"machine: {platform.platform()}, {os.cpu_count()} cores, {cuda}",
        f"python: {platform.python_version()}",
    ]
    return "\n".join([*lines, *list_versions()]) + "\n"


def list_versions() -> list[str]:
    """The packages that affect the result of a training, one per line."""
    lines = []
    for package in LISTED_PACKAGES:
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package}: not installed")
    return lines


def require_same_versions() -> None:
    """Raises ConfigError, with the package, if a process uses another version than the first."""
    for line in list_versions():
        package, number = line.split(": ")
        require_same(f"the package {package}", number)


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read_masks(data: DataConfig) -> tuple:
    """The settings that determine the class of a pixel; a color for drawing does not."""
    options = {"ignore_values": data.ignore_values or [], "ignore_index": data.ignore_index}
    groups = [[item.layer()] for item in data.classes] if data.multilabel else [data.classes]
    claims = [claim_values(group, **options) for group in groups]
    return claims, data.mask_band, [item.labels or [item.name] for item in data.classes]


def _require_same_task(config: Config, content: dict, path: Path) -> None:
    """Raises CheckpointError if the run was started with other classes or images: its weights and its scores would
    continue under wrong names."""
    try:
        before = Task.of(Config.model_validate(content["config"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: it contains no configuration") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: {first_fault(error)}") from error
    if difference := Task.of(config).difference(before):
        was, now = difference
        raise CheckpointError(f"{path}: was trained with {was}, not with {now}; remove --resume to start a new run")


def _require_whole(config: Config, content: dict, path: Path) -> None:
    """Raises CheckpointError if a value of a checkpoint is missing, or is not what a training saves."""
    try:
        saved = Saved.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: is damaged: {first_fault(error)}") from error
    task = Task.of(config)
    row = (2, 2) if task.mode == "multilabel" else (len(task.names),)
    matrix = saved.best.matrix
    if matrix and (len(matrix) != len(task.names) or any(_shape(item) != row for item in matrix)):
        raise CheckpointError(f"{path}: is damaged: best.matrix is not for {len(task.names)} classes")


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
    """Whether two states have the same keys, with numbers for numbers and strings for strings."""
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
    """Raises CheckpointError if the optimizer's state for a weight has another shape: fused steps would read and write
    out of bounds."""
    if type(optimizer).__module__.startswith("torch.") and not isinstance(optimizer, torch.optim.Adafactor):
        for parameter, kept in optimizer.state.items():
            for name, value in kept.items():
                wanted = parameter.shape if name != "step" else torch.Size()
                if isinstance(value, torch.Tensor) and value.ndim and value.shape != wanted:
                    shapes = f"{tuple(value.shape)}, not {tuple(wanted)}"
                    raise CheckpointError(f"{path}: is damaged: the optimizer's {name} has the shape {shapes}")
