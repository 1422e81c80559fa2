"""Descriptions: what a checkpoint, an exported file or a hub folder says of its model, read as what a stranger wrote.

A configuration that somebody trains with may name classes of their own; a description may not. It names what smp, timm
and albumentations have, with plain arguments, so that nothing in it imports a module, opens a file or a connection, or
takes more memory than a network of its size needs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import albumentations
from pydantic import ValidationError

from segtrain.config.libraries import check_arguments, check_encoder, known_names, takes_encoder
from segtrain.config.rules import REFUSED_MODEL_ARGUMENTS
from segtrain.config.schema import Config, ModelConfig
from segtrain.config.section import Mistake
from segtrain.data.transforms import FRAME_KEEPING, split_item
from segtrain.errors import CheckpointError, first_fault

LARGEST_NUMBER = 16_384  # of pixels, channels, degrees
LONGEST_WORD = 64
LONGEST_LIST = 256
DEEPEST = 4  # levels of lists and mappings in one argument

# They read images and fonts from paths.
FILE_READERS = frozenset({"FDA", "HistogramMatching", "PixelDistributionAdaptation", "TextImage"})


def read_config(content: Mapping[str, Any], path: Path, *, trust: bool | str | None = None) -> Config:
    """The configuration under "config" in a checkpoint, or one that was made of the note of a hub folder. `trust`: see
    load_network; None allows no network by a dotted path, for what --trust is not meant for.

    Raises CheckpointError where there is none or it is damaged, and where its model or its transforms.val are beyond
    what a description may say.
    """
    try:
        config = Config.model_validate(content["config"])
    except KeyError as error:
        raise CheckpointError(f"{path}: it contains no configuration") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: its configuration cannot be read: {first_fault(error)}") from error
    _check_model(config.model, path, trust)
    check_transforms(config.transforms.val, path)
    return config


def _check_model(model: ModelConfig, path: Path, trust: bool | str | None) -> None:
    if "." in model.name and trust in (True, model.name):
        return
    if "." in model.name and trust is not None:
        allow = f"write model.name: {model.name}" if trust else "add --trust"
        raise CheckpointError(
            f"{path}: uses the network {model.name}, and importing it can run any code; {allow} if you trust its source"
        )
    if model.name not in known_names("model"):
        raise CheckpointError(f"{path}: uses the model '{model.name}', which neither segtrain nor smp has")
    # smp hands what it does not know on to the encoder: checkpoint_path is opened there.
    filled = ("encoder_name", "encoder_weights")
    mistakes = [
        *check_arguments(
            "model", model.name, model.arguments, path=("model",), provided=filled, refused=REFUSED_MODEL_ARGUMENTS
        ),
    ]
    if takes_encoder(model.name):
        mistakes += check_encoder(model.encoder_name, path=("model", "encoder_name"), architecture=model.name)
    elif model.encoder_name is not None:
        mistakes.append(Mistake(("model", "encoder_name"), f"{model.name} has no encoder to choose"))
    for mistake in mistakes:
        raise CheckpointError(f"{path}: {'.'.join(mistake.path)}: {mistake.message}")
    _check_plain(model.arguments, f"{path}: model")


def check_transforms(items: Sequence[str | dict[str, Any]], path: Path) -> None:
    """Raises CheckpointError where the transforms.val of a file name anything but albumentations' transforms of pixels
    and plain resizing, or have arguments that are not plain."""
    for index, item in enumerate(items):
        where = f"{path}: transforms.val.{index}"
        try:
            name, arguments = split_item(item)
        except (TypeError, ValueError, AttributeError, StopIteration) as error:
            raise CheckpointError(f"{where}: is not a transform with its arguments") from error
        if name not in known_names("transform"):
            raise CheckpointError(f"{path}: transforms.val contains {name}, which albumentations does not have")
        of_pixels = issubclass(getattr(albumentations, name), albumentations.ImageOnlyTransform)
        if name in FILE_READERS or not (of_pixels or name in FRAME_KEEPING):
            raise CheckpointError(f"{where}: {name} is not a pixel-level transform")
        _check_plain(arguments, f"{where}.{name}")


def _check_plain(value: Any, where: str, depth: int = 0) -> None:
    """Raises CheckpointError for anything but numbers, words, and lists and mappings of them, within bounds."""
    if isinstance(value, (list, tuple, dict)) and depth < DEEPEST and len(value) <= LONGEST_LIST:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_plain(item, f"{where}.{key}", depth + 1)
        return
    if isinstance(value, str):
        plain = len(value) <= LONGEST_WORD and value.replace("_", "").replace("-", "").isalnum()
    else:
        plain = value is None or (isinstance(value, (bool, int, float)) and abs(value) <= LARGEST_NUMBER)
    if not plain:
        raise CheckpointError(f"{where}: {value!r} is not a plain number or string, or exceeds {LARGEST_NUMBER}")
