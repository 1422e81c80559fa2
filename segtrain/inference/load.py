"""Networks from run folders, checkpoints and exported files."""

import importlib
import json
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from segtrain.checkpoint import BEST, find_checkpoint, load_checkpoint
from segtrain.config.libraries import known_names
from segtrain.config.schema import Config
from segtrain.data.transforms import transform_names
from segtrain.devices import resolve_device, resolve_precision
from segtrain.errors import CheckpointError, first_fault, reason_of
from segtrain.inference.model_files import find_kind
from segtrain.inference.network import Network, TorchNetwork
from segtrain.inference.task import Task
from segtrain.models.model import build_model

TOLD = ("epoch", "monitor", "metrics", "definition")  # what a checkpoint says of its training, beside the configuration


def thresholds_path(checkpoint: Path) -> Path:
    """Where the thresholds lie that were tuned for a checkpoint: best.thresholds.json for best.pt."""
    return checkpoint.with_suffix(".thresholds.json")


def load_network(source: Path | str, *, device: str = "auto", precision: str | None = None) -> Network:
    """The network of a run folder (its best.pt), a checkpoint or an exported file.

    Raises CheckpointError for what is none of them, is damaged, or belongs to somebody else.
    """
    source = Path(source)
    kind = find_kind(source)
    if kind in (None, "run", "checkpoint"):
        return load_trained(source, device=device, precision=precision)
    module = importlib.import_module(f"segtrain.commands.export.{kind.replace('-', '_')}")
    return module.load(source, device=resolve_device(device), precision=precision)


def load_trained(source: Path, *, device: str = "auto", precision: str | None = None) -> TorchNetwork:
    """The network of a run folder (its best.pt) or a checkpoint file.

    The model is rebuilt from the configuration in the checkpoint, which may name nothing but smp's and albumentations'
    own classes. Thresholds that `evaluate --tune-threshold` left beside the checkpoint are taken. Raises
    CheckpointError for what is not such a checkpoint.
    """
    path = find_checkpoint(source, BEST)
    content = load_checkpoint(path)
    config = read_config(content, path)
    chosen = resolve_device(device)
    model = build_model(config.model, channels=config.data.channels, outputs=len(config.data.classes), pretrained=False)
    load_weights(model, content.get("ema") or content.get("model"), path)  # what validation scored
    dtype = resolve_precision(precision or config.train.precision, chosen)
    trained = {key: content[key] for key in TOLD if key in content}
    network = TorchNetwork(model, config, device=chosen, dtype=dtype, trained=trained)
    tuned = thresholds_path(path)
    if tuned.is_file() and network.task.thresholds:
        network.task = _with_thresholds_of(tuned, network.task, epoch=trained.get("epoch"))
    return network


def _with_thresholds_of(path: Path, task: Task, *, epoch: int | None) -> Task:
    """The task with the thresholds of a JSON file: {"epoch": of the checkpoint, "thresholds": {class: threshold}}."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tuned_epoch, thresholds = content["epoch"], content["thresholds"]
        task = task.with_thresholds([_number(thresholds[name]) for name in task.names[-task.outputs :]])
    except KeyError as error:
        raise CheckpointError(f"{path}: has no {error}; delete it to take thresholds of 0.5") from error
    except (OSError, ValueError, TypeError, CheckpointError) as error:
        raise CheckpointError(f"{path}: holds no thresholds of classes: {error}; delete it to take 0.5") from error
    if tuned_epoch != epoch:
        raise CheckpointError(
            f"{path}: was tuned for the model of epoch {tuned_epoch}, and the checkpoint is of epoch {epoch}; delete "
            "it to take 0.5, then evaluate with --tune-threshold again"
        )
    return task


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def read_config(content: dict, path: Path) -> Config:
    """The configuration in a checkpoint. Raises CheckpointError where it is none, or names a class of somebody else."""
    try:
        config = Config.model_validate(content["config"])
    except KeyError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: there is none") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: {first_fault(error)}") from error
    if config.data.classes is None:
        raise CheckpointError(f"{path}: its configuration cannot be read: it names no classes")
    if config.model.name not in known_names("model"):
        raise CheckpointError(f"{path}: names the model '{config.model.name}', which smp does not have")
    foreign = [name for name in transform_names(config.transforms.val) if name not in known_names("transform")]
    if foreign:
        raise CheckpointError(f"{path}: transforms.val names {foreign[0]}, which albumentations does not have")
    return config


def load_weights(model: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load a state dict. Raises CheckpointError where it is not this model's."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = reason_of(error, line=-1)
        raise CheckpointError(f"{path}: its weights do not fit its configuration: {reason}") from error
