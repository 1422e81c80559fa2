"""Files of pretrained weights: state dicts of any prefix and naming, brought to the names of an encoder."""

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from segtrain.errors import ConfigError, name_some

_SHOWN = 3


def load_encoder_file(encoder: nn.Module, path: str, *, encoder_name: str, channels: int) -> str:
    """Load an encoder's weights from a .pth, .pt, .ckpt or .safetensors file, and say what was taken.

    The file holds a state dict with the names of smp, timm or torchvision, behind any prefix (a checkpoint of
    Lightning, a whole network), or that of an EfficientNet of lukemelas. A path that does not exist may begin with the
    name of an installed package. A first convolution for RGB is adapted to `channels`.

    Returns what was taken, adapted and left, in one line. Raises ConfigError for a file that is not there, would run
    code, or does not fit.
    """
    state, wanted = _read(path), encoder.state_dict()
    taken = _match(state, wanted)
    for rename in (_rename_efficientnet, _rename_by_timm):
        if _count_unfit(taken, wanted, channels):
            renamed = _match(rename(state, wanted, encoder_name), wanted)
            taken = min(taken, renamed, key=lambda found: _count_unfit(found, wanted, channels))
    places = {wanted[key].data_ptr() for key in taken}  # safetensors writes a tensor once that has several names
    missing = [
        key for key in wanted if not key.endswith("num_batches_tracked") and wanted[key].data_ptr() not in places
    ]
    if missing:
        raise ConfigError(
            f"model.encoder_weights: {path} does not fit this encoder: {len(missing)} of its {len(wanted)} tensors "
            f"are missing, like {missing[0]}; the file contains {', '.join(list(state)[:_SHOWN])}, .."
        )
    chosen, adapted = {}, []
    for key, tensor in taken.items():
        if is_for_rgb(tensor, wanted[key], channels):
            tensor = timm.models.adapt_input_conv(channels, tensor)
            adapted.append(key)
        if tensor.shape != wanted[key].shape:
            shapes = f"{tuple(tensor.shape)} in the file, {tuple(wanted[key].shape)} in the encoder"
            raise ConfigError(f"model.encoder_weights: {path} does not fit this encoder: {key} is {shapes}")
        chosen[key] = tensor
    nn.Module.load_state_dict(encoder, chosen, strict=False)
    return "; ".join([f"{len(chosen)} tensors of {path}", *_describe(state, taken, adapted, channels)])


def _describe(state: dict[str, Tensor], taken: dict[str, Tensor], adapted: list[str], channels: int) -> Iterator[str]:
    if adapted:
        yield f"{', '.join(adapted)} adapted to {channels} channels"
    used = {id(tensor) for tensor in taken.values()}
    left = [name for name, tensor in state.items() if id(tensor) not in used]
    if used - {id(tensor) for tensor in state.values()}:
        yield "some of them resized or split by timm"
    elif left:
        yield f"{len(left)} not used: {name_some(left, _SHOWN)}"


def _find(path: str) -> Path:
    file, absent = Path(path).expanduser(), ""
    if not file.exists() and not file.is_absolute() and len(file.parts) > 1 and file.parts[0].isidentifier():
        spec = find_spec(file.parts[0])
        absent = "" if spec else f", and no package {file.parts[0]} is installed"
        for folder in (spec.submodule_search_locations or []) if spec else []:
            file = Path(folder, *file.parts[1:])
    if not file.is_file():
        raise ConfigError(
            f"model.encoder_weights: {path} is not a file{absent}; "
            "write a path that exists, a name like imagenet, or null"
        )
    return file


def _read(path: str) -> dict[str, Tensor]:
    file = _find(path)
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
        state = _flatten(content)
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or "the file is truncated"
        raise ConfigError(f"model.encoder_weights: {path} cannot be read: {reason}") from error
    except Exception as error:  # pickle.UnpicklingError and its kin: something else, or asks for more than tensors
        raise ConfigError(f"model.encoder_weights: {path} was not loaded: it contains more than tensors") from error
    if not state:
        raise ConfigError(f"model.encoder_weights: {path} is not a state dict of tensors")
    return state


def _flatten(content: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of dicts within dicts, under the keys that lead there, joined by dots."""
    state: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, Tensor):
            state[f"{prefix}{key}"] = value
        else:
            state |= _flatten(value, f"{prefix}{key}.")
    return state


def plain_name(name: str) -> str:
    """A name as its namings agree on it: timm's pyramids have `stages_0` for `stages.0`, and the files of the older
    DenseNets `norm.1` for `norm1`."""
    return re.sub(r"(?<=[a-z])_(?=\d)", "", name.replace(".", "_"))


def _match(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of the encoder, from behind that prefix of the file behind which it has most."""
    own = min((re.match(r"(model\.)*", key)[0] for key in wanted), key=len)  # of what is around timm's networks
    known = {plain_name(key.removeprefix(own)): key for key in wanted}
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        parts = name.split(".")
        for start in range(len(parts)):
            key = known.get(plain_name(".".join(parts[start:])))
            if key is not None:
                found.setdefault(".".join(parts[:start]), {}).setdefault(key, tensor)
    return max(found.values(), key=len, default={})


def is_for_rgb(tensor: Tensor, wanted: Tensor, channels: int) -> bool:
    """Whether the weights of a convolution differ from what is wanted by their three input channels alone."""
    shape = tuple(tensor.shape)
    return len(shape) == 4 and shape[1] == 3 != channels and wanted.shape == (shape[0], channels, *shape[2:])


def _count_unfit(found: dict[str, Tensor], wanted: dict[str, Tensor], channels: int) -> int:
    """How many tensors of the encoder are missing, or have another shape."""
    count = 0
    for key, tensor in wanted.items():
        if key in found:
            count += found[key].shape != tensor.shape and not is_for_rgb(found[key], tensor, channels)
        else:
            count += not key.endswith("num_batches_tracked")
    return count


def _rename_efficientnet(state: dict[str, Tensor], wanted: dict[str, Tensor], _: str) -> dict[str, Tensor]:
    """The names of lukemelas' EfficientNet-PyTorch as timm's: his blocks are numbered through all stages, and in one
    that does not expand, `_bn1` and `_bn2` follow the depthwise convolution and the projection."""
    places = sorted({(int(m[1]), int(m[2])) for key in wanted if (m := re.search(r"blocks[._](\d+)[._](\d+)\.", key))})
    expanding = {match[1] for key in state if (match := re.search(r"_blocks\.(\d+)\._expand_conv", key))}
    parts = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_depthwise_conv": "conv_dw"}
    plain = parts | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expand = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    stem = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    renamed = {}
    for key, tensor in state.items():
        block = re.fullmatch(r"(.*)_blocks\.(\d+)\.(\w+)\.(.+)", key)
        if block is None:
            head, dot, last = key.rpartition(".")
            *before, part = head.split(".")
            renamed[".".join([*before, stem.get(part, part)]) + dot + last] = tensor
        elif int(block[2]) < len(places):
            stage, index = places[int(block[2])]
            names = (parts | expand) if block[2] in expanding else plain
            renamed[f"{block[1]}blocks.{stage}.{index}.{names.get(block[3], block[3])}.{block[4]}"] = tensor
    return renamed


def _rename_by_timm(state: dict[str, Tensor], _: dict[str, Tensor], encoder_name: str) -> dict[str, Tensor]:
    """As timm itself renames, and resizes, the weights that a network's authors published."""
    name = encoder_name.removeprefix("tu-").partition(".")[0]
    if not encoder_name.startswith("tu-") or not timm.is_model(name):
        return {}
    convert = getattr(sys.modules[timm.model_entrypoint(name).__module__], "checkpoint_filter_fn", None)
    try:
        return convert(dict(state), timm.create_model(name)) if convert else {}
    except Exception:  # it reckons with the files of this network alone
        return {}
