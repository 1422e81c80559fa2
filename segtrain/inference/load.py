"""Networks from run folders, checkpoints and exported files."""

import importlib
import json
from pathlib import Path

from segtrain.checkpoint import BEST, find_checkpoint, load_checkpoint
from segtrain.devices import resolve_device
from segtrain.errors import CheckpointError
from segtrain.files import require_regular
from segtrain.inference.description import read_config
from segtrain.inference.model_files import PROGRAMS, find_kind
from segtrain.inference.network import Network, TorchNetwork, rebuild
from segtrain.inference.task import Task

# What a checkpoint says of its training, beside the configuration.
TOLD = ("epoch", "monitor", "metrics", "definition", "origin")


def thresholds_path(checkpoint: Path) -> Path:
    """Where the thresholds lie that were tuned for a checkpoint: best.thresholds.json for best.pt."""
    return checkpoint.with_suffix(".thresholds.json")


def load_network(
    source: Path | str, *, device: str = "auto", precision: str | None = None, trust: bool | str = False
) -> Network:
    """The network of a run folder (its best.pt), a checkpoint or an exported file.

    Args:
        source: its path.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: to compute in; None takes that of the training or of the export.
        trust: load programs too (TorchScript, torch.export, SavedModel), and import a network that a checkpoint names
            by a dotted path: both may run any code. Or the one dotted path that may be imported.

    Raises CheckpointError for what is not a model, is damaged, belongs to somebody else, or is a program and not
    trusted.
    """
    source = Path(source)
    require_regular(source)
    kind = find_kind(source)
    if kind in (None, "run", "checkpoint"):
        return load_trained(source, device=device, precision=precision, trust=trust)
    if not source.exists():
        raise CheckpointError(f"{source}: does not exist")
    if kind in PROGRAMS and trust is not True:
        raise CheckpointError(
            f"{source}: is a program ({PROGRAMS[kind]}), and loading it can run any code; add --trust if you trust "
            f"its source"
        )
    runtime = importlib.import_module(f"segtrain.inference.runtimes.{kind.replace('-', '_')}")
    return runtime.load(source, device=resolve_device(device), precision=precision)


def load_trainable(source: Path, *, trust: bool | str = False) -> TorchNetwork:
    """The network of a run folder, a checkpoint or a hub folder, in fp32 on the CPU. Raises CheckpointError as
    load_network does, and for an exported file, before it is loaded."""
    if find_kind(source) not in (None, "run", "checkpoint", "hub"):
        raise CheckpointError(f"{source}: is an exported file; give the run or checkpoint that it was exported from")
    return load_network(source, device="cpu", precision="fp32", trust=trust)


def load_trained(
    source: Path, *, device: str = "auto", precision: str | None = None, trust: bool | str = False
) -> TorchNetwork:
    """The network of a run folder (its best.pt) or a checkpoint file.

    The model is rebuilt from the configuration in the checkpoint, which may name nothing but smp's and albumentations'
    own classes, and with `trust` a network by a dotted path. Thresholds that `evaluate --tune-threshold` left beside
    the checkpoint are taken. Raises CheckpointError for what is not such a checkpoint.
    """
    path = find_checkpoint(source, BEST)
    content = load_checkpoint(path)
    network = rebuild(
        read_config(content, path, trust=trust),
        content.get("ema") or content.get("model"),  # what validation scored
        path,
        device=resolve_device(device),
        precision=precision,
        trained={key: content[key] for key in TOLD if key in content},
    )
    tuned = thresholds_path(path)
    if tuned.is_file() and network.task.thresholds:
        network.task = _with_thresholds_of(tuned, network.task, epoch=network.trained.get("epoch"))
    return network


def _with_thresholds_of(path: Path, task: Task, *, epoch: int | None) -> Task:
    """The task with the thresholds of a JSON file: {"epoch": of the checkpoint, "thresholds": {class: threshold}}."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tuned_epoch, thresholds = content["epoch"], content["thresholds"]
        task = task.with_thresholds([thresholds[name] for name in task.names[-task.outputs :]])
    except KeyError as error:
        raise CheckpointError(f"{path}: has no {error}; delete it to use thresholds of 0.5") from error
    except (OSError, ValueError, TypeError, CheckpointError) as error:
        raise CheckpointError(f"{path}: contains no thresholds of classes: {error}; delete it to use 0.5") from error
    if tuned_epoch != epoch:
        raise CheckpointError(
            f"{path}: was tuned for the model of epoch {tuned_epoch}, but the checkpoint is from epoch {epoch}; "
            f"delete it to use 0.5, then evaluate with --tune-threshold again"
        )
    return task
