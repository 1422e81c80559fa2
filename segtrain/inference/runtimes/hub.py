"""Hub folders: a network as the Hugging Face hub holds it, for smp, albumentations and segtrain."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from segtrain.config.data_schema import MOST_CLASSES
from segtrain.config.rules import REFUSED_MODEL_ARGUMENTS
from segtrain.config.schema import Config, ModelConfig
from segtrain.errors import CheckpointError, first_fault
from segtrain.files import require_regular
from segtrain.inference.description import read_config
from segtrain.inference.network import TorchNetwork, rebuild
from segtrain.inference.task import BACKGROUND_COLOR, UNNAMED, Task
from segtrain.models.model import choose_normalization
from segtrain.visualize import default_colors

NOTE = "segtrain.json"
SMP = "config.json"
PREPROCESSING = "albumentations_config_eval.json"
WEIGHTS = "model.safetensors"

PixelValue = Annotated[float, Field(allow_inf_nan=False)]


class HubNote(BaseModel):
    """What segtrain.json holds: the network is rebuilt from it and the weights.

    `mean` and `std` are those of images in 0..255, one for each channel. `card` is the SHA-256 of README.md as it was
    written, by which one that was edited is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    task: Task
    model: ModelConfig
    mean: list[PixelValue]
    std: list[Annotated[PixelValue, Field(gt=0)]]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    channels_last: bool
    card: str | None = None

    def config(self, path: Path) -> Config:
        """The part of an experiment that a network knows. Raises CheckpointError as read_config does."""
        task = self.task
        first = 0 if task.mode == "multiclass" else 1  # behind the background, or "none"
        named = zip(task.picture_names[first:], task.colors[first:], strict=True)
        classes = [
            {"name": name, "color": list(color), "value": 1 if task.mode == "multilabel" else index}
            for index, (name, color) in enumerate(named, start=first)
        ]
        options = {"channels": task.channels, "scale": task.scale, "bands": task.bands}
        data = {"root": ".", "classes": classes, "ignore_index": task.ignore_index, **options}
        settings = {
            "data": data | {"multilabel": task.mode == "multilabel"},
            "model": self.model.model_dump(),
            "transforms": {"val": task.transforms},
            "train": {"precision": self.precision, "channels_last": self.channels_last},
        }
        return read_config({"config": settings}, path)


def load(path: Path, *, device: torch.device, precision: str | None) -> TorchNetwork:
    """The network in such a folder, as it was trained. Nothing in there is run.

    Raises CheckpointError for a folder that neither segtrain nor smp's save_pretrained wrote, or that is damaged.
    """
    note = _read_smp(path) if not (path / NOTE).exists() and (path / SMP).is_file() else read_hub_note(path)
    config = note.config(path / NOTE)
    require_regular(path / WEIGHTS)
    try:
        weights = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / WEIGHTS}: is damaged: {error}") from error
    state = {f"net.{name}": tensor for name, tensor in weights.items() if not name.startswith("classification_head.")}
    for name in ("mean", "std"):
        state[name] = torch.tensor(getattr(note, name)).view(1, -1, 1, 1)
    network = rebuild(config, state, path / WEIGHTS, device=device, precision=precision)
    network.task = note.task
    return network


def _read_smp(folder: Path) -> HubNote:
    """The note of a folder that smp's save_pretrained wrote. Its classes have no names, and images are normalized as
    its preprocessing of albumentations says, or else as its encoder was pretrained with. Raises CheckpointError where
    it is damaged."""
    about = _read_json(folder / SMP)
    try:
        task = _unnamed_task(about["classes"], about.get("in_channels", 3))
        given = {key: value for key, value in about.items() if key not in (*REFUSED_MODEL_ARGUMENTS, "_model_class")}
        model = ModelConfig(name=about["_model_class"], **given | {"encoder_weights": None})
        mean, std = choose_normalization(model, task.channels, from_hub=False)
        steps = (
            _read_json(folder / PREPROCESSING)["transform"]["transforms"] if (folder / PREPROCESSING).exists() else []
        )
        for step in steps:
            if step["__class_fullname__"].rpartition(".")[2] == "Normalize" and step["mean"]:
                mean, std = step["mean"], step["std"]
        numbers = {"mean": [255 * value for value in mean], "std": [255 * value for value in std]}
        return HubNote(task=task, model=model, **numbers, precision="auto", channels_last=True)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{folder / SMP}: does not describe a network of smp: {reason}") from error


def _unnamed_task(count: Any, channels: Any) -> Task:
    if not isinstance(count, int) or not 0 < count <= MOST_CLASSES:
        raise TypeError(f"the number of classes is {count!r:.40}")
    binary, colors = count == 1, default_colors(count)
    return Task(
        mode="binary" if binary else "multiclass",
        names=["background" if binary and not index else f"{UNNAMED}{index}" for index in range(len(colors) + binary)],
        colors=[BACKGROUND_COLOR, *colors] if binary else colors,
        channels=channels,
        thresholds=[0.5] if binary else [],
    )


def _read_json(file: Path) -> Any:
    require_regular(file)
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: is not JSON: {error}") from error


def read_hub_note(folder: Path) -> HubNote:
    """What segtrain.json of a folder says. Raises CheckpointError where it is not there or damaged."""
    file = folder / NOTE
    require_regular(file)
    try:
        return HubNote.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: was not exported by segtrain: it has no {NOTE}; export one with python -m segtrain export "
            f"RUN --to hub"
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{file}: is damaged: {first_fault(error)}") from error
