"""Hub folders: a network as the Hugging Face hub holds it, for smp, albumentations and segtrain."""

import contextlib
import hashlib
import io
import shutil
from pathlib import Path

import albumentations
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError

from segtrain.commands.export.graph import ExportError, ExportOptions
from segtrain.commands.export.model_card import write_card
from segtrain.data.transforms import build_eval_transform
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.hub import NOTE, WEIGHTS, HubNote, read_hub_note
from segtrain.models.encoder import CORRECTED, require_hub

CARD = "README.md"
FILES = [CARD, "config.json", WEIGHTS, "albumentations_config_eval.json", NOTE]


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. Raises ExportError for options that mean nothing here, and where the files cannot be written."""
    if options.labels or options.size is not None:
        raise ExportError("--to hub writes the weights, for images of any size: remove --labels and --size")
    if not type(network.model.net).__module__.startswith("segmentation_models_pytorch."):
        name = type(network.model.net).__name__
        raise ExportError(f"--to hub: smp must be able to load the folder, but {name} is not one of its networks")
    if network.model.net._version == CORRECTED:
        name, stride = network.config.model.encoder_name, network.model.net.encoder.output_stride
        raise ExportError(
            f"--to hub: smp would build {name} with other dilations at output stride {stride}, which changes the "
            f"predictions; write --to onnx, or train with an encoder of timm (tu-...)"
        )
    if hasattr(network.model.net, "logits_stride"):
        name = network.config.model.encoder_name
        raise ExportError(
            f"--to hub: smp has no DPT for {name}, whose patch size is not a power of two; write --to onnx"
        )
    if options.push is not None:
        _require_token(options.push)
    card = write_card(network, source=options.push or "path/to/this/folder", license=options.license)
    path.mkdir()
    (path / CARD).write_bytes(card.encode())
    try:
        network.model.net.save_pretrained(path)  # leaves a README.md that is there
    except SafetensorError as error:  # its own word for a disk that is full
        raise ExportError(f"{path / WEIGHTS}: cannot be written: {error}") from error
    shutil.copymode(path / CARD, path / WEIGHTS)  # which only its owner could read
    build_preprocessing(network).save_pretrained(path)
    train = network.config.train
    note = HubNote(
        task=network.task,
        # Without what is for its training alone, and may be a path of this computer.
        model=network.config.model.model_copy(update={"encoder_weights": None, "weights": None, "aux": 0.0}),
        mean=network.model.mean.flatten().tolist(),
        std=network.model.std.flatten().tolist(),
        precision=train.precision,
        channels_last=train.channels_last,
        card=_digest(path / CARD),
    )
    (path / NOTE).write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def keep_edited(draft: Path, path: Path) -> None:
    """Take the card out of a draft where the folder has one already that was edited, or that segtrain did not write."""
    card = path / CARD
    if card.is_file() and read_hub_note(path).card != _digest(card):
        (draft / CARD).unlink()
        print(f"{card}: was edited and is kept; delete it to have it written again")


def build_preprocessing(network: TorchNetwork) -> albumentations.Compose:
    """What the bare network of smp wants to have done to an image (HWC uint8, or float32 in 0..1 where task.scale is
    set): transforms.val, then the normalization that segtrain's model does by itself."""
    task, model = network.task, network.model
    pipeline = build_eval_transform(task.transforms)
    normalize = albumentations.Normalize(
        mean=tuple((model.mean / 255).flatten().tolist()),
        std=tuple((model.std / 255).flatten().tolist()),
        max_pixel_value=255.0 if task.scale is None else 1.0,
    )
    return albumentations.Compose([*(pipeline.transforms if pipeline else []), normalize], seed=0)


def publish(path: Path, repository: str) -> None:
    """Push the folder to the hub; a repository that is not there is made, a private one.

    Raises ExportError where the hub is not reached or refuses.
    """
    require_hub()
    kept = f"the folder {path} is complete; push it later"
    if constants.HF_HUB_OFFLINE:
        raise ExportError(f"--push {repository}: {constants.ENDPOINT} cannot be reached; {kept}")
    api = HfApi(token=_require_token(repository))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            api.create_repo(repository, private=True, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository, folder_path=path, allow_patterns=FILES, commit_message="Export of segtrain"
            )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ExportError(f"--push {repository}: refused: {' '.join(str(error).split())}; {kept}") from error
    print(f"pushed: {done}")


def _require_token(repository: str) -> str:
    token = get_token()
    if token is None:
        raise ExportError(f"--push {repository}: no Hugging Face token is set; run `hf auth login`, or set HF_TOKEN")
    return token
