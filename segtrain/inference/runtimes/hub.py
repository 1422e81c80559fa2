"""Hub folders: a network as the Hugging Face hub holds it, for smp, albumentations and segtrain."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from segtrain.config.schema import Config, ModelConfig
from segtrain.errors import CheckpointError, first_fault
from segtrain.files import require_regular
from segtrain.inference.description import read_config
from segtrain.inference.network import TorchNetwork, rebuild
from segtrain.inference.task import Task

NOTE = "segtrain.json"
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

    Raises CheckpointError for a folder that segtrain did not write, or that is damaged.
    """
    note = read_hub_note(path)
    config = note.config(path / NOTE)
    require_regular(path / WEIGHTS)
    try:
        weights = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / WEIGHTS}: is damaged: {error}") from error
    state = {f"net.{name}": tensor for name, tensor in weights.items()}
    for name in ("mean", "std"):
        state[name] = torch.tensor(getattr(note, name)).view(1, -1, 1, 1)
    network = rebuild(config, state, path / WEIGHTS, device=device, precision=precision)
    network.task = note.task
    return network


def read_hub_note(folder: Path) -> HubNote:
    """What segtrain.json of a folder says. Raises CheckpointError where it is not there or damaged."""
    file = folder / NOTE
    require_regular(file)
    try:
        return HubNote.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: was not exported by segtrain: it has no {NOTE}; write one with "
            "python -m segtrain export RUN --to hub"
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{file}: is damaged: {first_fault(error)}") from error
