"""Transfer: a whole network from an earlier run, or from a folder of smp, as the start of a training."""

from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

import timm
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from segtrain.checkpoint import BEST
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, name_some, reason_of
from segtrain.inference.load import load_trainable
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.hub import NOTE, PREPROCESSING, SMP, WEIGHTS
from segtrain.inference.task import Task
from segtrain.models.encoder import require_hub
from segtrain.models.model import SegmentationModel, build_model, drop_auxiliary
from segtrain.models.pretrained import is_for_rgb

_SHOWN = 6


def load_weights(model: SegmentationModel, config: Config) -> str:
    """Start a model from config.model.weights: a run folder, a checkpoint, a folder that smp's save_pretrained or
    `export --to hub` wrote, or OWNER/NAME of one on the hub.

    All weights are taken but for the outputs of classes that have no namesake there, which start anew. A first
    convolution for RGB is adapted to other channels; so are mean and std, unless the experiment writes them.

    Returns what was taken, in one line. Raises ConfigError where it is another network, CheckpointError where it is
    damaged.
    """
    source = str(config.model.weights)
    network = load_trainable(_fetch(source), trust=config.model.name)
    theirs = network.model.net.state_dict()
    ours = drop_auxiliary(model.net.state_dict())
    places = _output_places(config, ours)
    _require_same_network(config, network, theirs, ours, places)
    names, known = _outputs(Task.of(config)), _outputs(network.task)
    pairs = [(row, known.index(name)) for row, name in enumerate(names) if name in known]
    taken, adapted = OrderedDict(), []
    taken._metadata = theirs._metadata  # which knows how the encoder was dilated
    for key, tensor in theirs.items():
        if key in places:
            taken[key] = ours[key].clone()
            for row, other in pairs:
                taken[key].select(places[key], row).copy_(tensor.select(places[key], other))
        elif tensor.shape != ours[key].shape:
            taken[key] = timm.models.adapt_input_conv(config.data.channels, tensor)
            adapted.append(key)
        else:
            taken[key] = tensor
    model.net.load_state_dict(taken, strict=False)  # auxiliary outputs start anew
    for name in ("mean", "std"):
        if getattr(config.model, name) is None and not adapted:
            getattr(model, name).copy_(getattr(network.model, name))
    said = [f"{network.config.model.title} of {source}"]
    said += [f"{', '.join(adapted)} adapted to {config.data.channels} channels"] if adapted else []
    anew = [name for name in names if name not in known]
    said += [f"outputs initialized from scratch: {name_some(anew, _SHOWN)}"] if anew else []
    return "; ".join(said)


def _fetch(source: str) -> Path:
    path = Path(source).expanduser()
    if path.exists() or source.count("/") != 1 or source.startswith((".", "~", "/")):
        if not path.exists():
            raise ConfigError(f"model.weights: {source} does not exist")
        return path
    require_hub()
    try:
        return Path(snapshot_download(source, allow_patterns=[SMP, NOTE, PREPROCESSING, WEIGHTS]))
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"model.weights: {source} does not exist here, and the Hugging Face hub cannot be reached"
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ConfigError(
            f"model.weights: {source} does not exist here, and the Hugging Face hub replies: {reason_of(error)}"
        ) from error


def _outputs(task: Task) -> list[str]:
    """The name of each output of a network: a binary one has none for its background."""
    return task.names[1:] if task.mode == "binary" else task.names


def _output_places(config: Config, ours: dict[str, Tensor]) -> dict[str, int]:
    """The tensors that have something for each class, and in which dimension: those that are larger where there is one
    class more."""
    with torch.random.fork_rng(devices=[]):
        channels, outputs = config.data.channels, len(config.data.classes) + 1
        wider = build_model(config.model, channels=channels, outputs=outputs, pretrained=False).net.state_dict()
    places = {}
    for key, tensor in ours.items():
        for place, (side, more) in enumerate(zip(tensor.shape, wider[key].shape, strict=True)):
            if side != more:
                places[key] = place
    return places


def _require_same_network(
    config: Config, network: TorchNetwork, theirs: dict[str, Tensor], ours: dict[str, Tensor], places: Collection[str]
) -> None:
    """Raises ConfigError where one has a weight that the other has not, or of another shape."""
    missing = ours.keys() ^ theirs.keys()
    other = [
        key
        for key in ours.keys() & theirs.keys() - {*places}
        if ours[key].shape != theirs[key].shape and not is_for_rgb(theirs[key], ours[key], config.data.channels)
    ]
    if missing or other:
        was, now = network.config.model, config.model
        files = (Path(str(now.weights), file) for file in (BEST, WEIGHTS))
        file = next(filter(Path.is_file, files), now.weights)
        names, same = f"{was.title}, not {now.title}", was.title == now.title
        section = f"name: {was.name}" + (f", encoder_name: {was.encoder_name}" if was.encoder_name else "")
        raise ConfigError(
            f"model.weights: {now.weights} is {'built differently' if same else f'another network, {names}'}: "
            f"{min(missing or other)} differs; write its model section, {{{section}, ..}}, or use only its encoder: "
            f"model.encoder_weights: {file}"
        )
