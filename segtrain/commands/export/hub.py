"""A folder as the Hugging Face hub holds models: for segmentation-models-pytorch, albumentations and segtrain."""

import contextlib
import hashlib
import io
import shutil
from pathlib import Path
from typing import Annotated, Literal

import albumentations
import torch
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from segtrain.commands.export.model_card import write_card
from segtrain.commands.export.options import ExportError, ExportOptions
from segtrain.config.schema import Config, ModelConfig
from segtrain.data.transforms import build_eval_transform
from segtrain.devices import resolve_precision
from segtrain.errors import CheckpointError, first_fault
from segtrain.inference.load import load_weights, read_config
from segtrain.inference.network import TorchNetwork
from segtrain.inference.task import Task
from segtrain.models.model import build_model
from segtrain.models.weights import require_hub

NAME = "hub"
PRECISIONS = ("fp32",)
FIXED = False
REQUIRES = None

NOTE = "segtrain.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
FILES = [CARD, "config.json", WEIGHTS, "albumentations_config_eval.json", NOTE]

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

    @classmethod
    def of(cls, network: TorchNetwork, *, card: str) -> "HubNote":
        """The note of a network, without paths of the computer that it was trained on."""
        return cls(
            task=network.task,
            model=network.config.model.model_copy(update={"encoder_weights": None}),
            mean=network.model.mean.flatten().tolist(),
            std=network.model.std.flatten().tolist(),
            precision=network.config.train.precision,
            channels_last=network.config.train.channels_last,
            card=card,
        )

    def config(self, path: Path) -> Config:
        """The part of an experiment that a network knows. Raises CheckpointError as read_config does."""
        task = self.task
        first = 0 if task.mode == "multiclass" else 1  # behind the background, or "none"
        named = zip(task.picture_names[first:], task.colors[first:], strict=True)
        classes = [
            {"name": name, "color": list(color), "value": 1 if task.mode == "multilabel" else place}
            for place, (name, color) in enumerate(named, start=first)
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


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. Raises ExportError for options that mean nothing here, and where the files cannot be written."""
    if options.labels or options.size is not None:
        raise ExportError("--to hub writes the weights for images of any size: take --labels and --size out")
    if options.push is not None:
        _require_token(options.push)
    card = write_card(network, source=options.push or "path/to/this/folder", licence=options.licence)
    path.mkdir()
    (path / CARD).write_bytes(card.encode())
    try:
        network.model.net.save_pretrained(path)  # leaves a README.md that is there
    except SafetensorError as error:  # its own word for a disk that is full
        raise ExportError(f"{path / WEIGHTS}: cannot be written: {error}") from error
    shutil.copymode(path / CARD, path / WEIGHTS)  # which only its owner could read
    build_preprocessing(network).save_pretrained(path)
    note = HubNote.of(network, card=_digest(path / CARD))
    (path / NOTE).write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def keep_edited(draft: Path, path: Path) -> None:
    """See the package: a card that was edited, or that segtrain did not write."""
    card = path / CARD
    if card.is_file() and _read_note(path).card != _digest(card):
        (draft / CARD).unlink()
        print(f"{card}: was edited, and stays as it is; delete it to have it written anew")


def build_preprocessing(network: TorchNetwork) -> albumentations.Compose:
    """What the bare network of smp wants to have done to an image (HWC uint8, or float32 in 0..1 where task.scale is
    set): transforms.val, then the normalisation that segtrain's model does by itself."""
    task, model = network.task, network.model
    pipeline = build_eval_transform(task.transforms)
    normalize = albumentations.Normalize(
        mean=tuple((model.mean / 255).flatten().tolist()),
        std=tuple((model.std / 255).flatten().tolist()),
        max_pixel_value=255.0 if task.scale is None else 1.0,
    )
    return albumentations.Compose([*(pipeline.transforms if pipeline else []), normalize], seed=0)


def load(path: Path, *, device: torch.device, precision: str | None) -> TorchNetwork:
    """The network in such a folder, as it was trained. Nothing in there is run.

    Raises CheckpointError for a folder that segtrain did not write, or that is damaged.
    """
    note = _read_note(path)
    config = note.config(path / NOTE)
    try:
        weights = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path / WEIGHTS}: is damaged: {error}") from error
    model = build_model(config.model, channels=note.task.channels, outputs=note.task.outputs, pretrained=False)
    state = {f"net.{name}": tensor for name, tensor in weights.items()}
    for name in ("mean", "std"):
        state[name] = torch.tensor(getattr(note, name)).view(1, -1, 1, 1)
    load_weights(model, state, path / WEIGHTS)
    dtype = resolve_precision(precision or config.train.precision, device)
    network = TorchNetwork(model, config, device=device, dtype=dtype)
    network.task = note.task
    return network


def _read_note(path: Path) -> HubNote:
    file = path / NOTE
    try:
        return HubNote.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: was not exported by segtrain: it has no {NOTE}; write one with "
            "python -m segtrain export RUN --to hub"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise CheckpointError(f"{file}: is damaged: {first_fault(error)}") from error


def publish(path: Path, options: ExportOptions) -> None:
    """Push the folder to the hub where that was asked for; a repository that is not there is made, a private one.

    Raises ExportError where the hub is not reached or refuses.
    """
    if options.push is None:
        return
    require_hub()
    if constants.HF_HUB_OFFLINE:
        raise ExportError(
            f"--push {options.push}: {constants.ENDPOINT} cannot be reached; {path} is there to be pushed"
        )
    api = HfApi(token=_require_token(options.push))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            api.create_repo(options.push, private=True, exist_ok=True)
            done = api.upload_folder(
                repo_id=options.push, folder_path=path, allow_patterns=FILES, commit_message="Export of segtrain"
            )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"--push {options.push}: refused: {reason}; {path} is there to be pushed") from error
    print(f"pushed: {done}")


def _require_token(repository: str) -> str:
    token = get_token()
    if token is None:
        raise ExportError(f"--push {repository}: there is no token of the hub; run `hf auth login`, or set HF_TOKEN")
    return token
