"""Encoders: pretrained weights from the model hub or a local file, and dilation at output stride 8 and 16."""

import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from segtrain.errors import ConfigError

HUB_TIMEOUT_SECONDS = 4.0
HEADS = ("fc", "classifier", "head", "head_dist", "last_linear", "conv_head", "bn2", "head_drop", "aux_classifier")

CORRECTED = 2  # version of a dilated network in its state dict; those of smp and of older checkpoints have 1 or none


def require_hub() -> None:
    """Make the hub answer from its cache at once where its server cannot be reached.

    Its own client would retry for half a minute before it says so. What is cached still loads; what is not raises
    there.
    """
    if constants.HF_HUB_OFFLINE:
        return
    reached = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_TIMEOUT_SECONDS
            )
            reached.set()
        except urllib.error.HTTPError:
            reached.set()  # an answer, if an unfriendly one
        except OSError:
            return

    thread = threading.Thread(target=ask, daemon=True)  # a thread, because looking up a name knows no timeout
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    if not reached.is_set():
        constants.HF_HUB_OFFLINE = True


def hub_settings(encoder_name: str, weights: str | bool) -> tuple[list[float], list[float]]:
    """Mean and std, in 0..1, that smp's weights of this encoder were trained with, from the hub or its cache."""
    settings = smp.encoders.get_preprocessing_params(encoder_name, "imagenet" if weights is True else weights)
    return settings["mean"], settings["std"]


def load_encoder_file(encoder: nn.Module, path: str, *, channels: int) -> None:
    """Load an encoder's weights from a .pth, .pt or .safetensors file: a state dict of smp's or timm's encoder.

    Prefixes (`encoder.`, `model.`, `module.`, `backbone.`) and classification heads are recognised. A first convolution
    for RGB is adapted to `channels`. Raises ConfigError for a file that is not there, would run code, or does not fit.
    """
    path = str(Path(path).expanduser())
    if not Path(path).is_file():
        raise ConfigError(
            f"model.encoder_weights: {path} is not a file; write a path that exists, a name like imagenet, or null"
        )
    state = _read(path)
    wanted = encoder.state_dict()
    state = _renamed(state, wanted)
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise ConfigError(
            f"model.encoder_weights: {path} does not fit this encoder: "
            f"{len(missing)} of its {len(wanted)} tensors are missing, like {missing[0]}; "
            f"the file holds {', '.join(list(state)[:3])}, .."
        )
    chosen = {key: state[key] for key in wanted if key in state}
    for key, tensor in chosen.items():
        if tensor.ndim == 4 and tensor.shape[1] == 3 and wanted[key].shape[1] == channels != 3:
            chosen[key] = tensor = timm.models.adapt_input_conv(channels, tensor)
        if tensor.shape != wanted[key].shape:
            shapes = f"{tuple(tensor.shape)} in the file, {tuple(wanted[key].shape)} in the encoder"
            raise ConfigError(f"model.encoder_weights: {path} does not fit this encoder: {key} is {shapes}")
    nn.Module.load_state_dict(encoder, chosen, strict=False)


def _read(path: str) -> dict[str, Tensor]:
    try:
        state = (
            load_file(path)
            if path.endswith(".safetensors")
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or "it ends too early"
        raise ConfigError(f"model.encoder_weights: {path} cannot be read: {reason}") from error
    except Exception as error:  # pickle.UnpicklingError and its kin: something else, or asks for more than tensors
        raise ConfigError(f"model.encoder_weights: {path} holds more than tensors, and is not loaded") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"model.encoder_weights: {path} is not a state dict of tensors")
    return state


def _renamed(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under the encoder's own names: that choice of prefixes under which most of them are found."""
    best, most = state, -1
    for taken in ("", "encoder.", "net.encoder.", "module.", "backbone.", "model.", "module.encoder."):
        for given in ("", "model."):
            renamed = {given + key.removeprefix(taken): value for key, value in state.items() if key.startswith(taken)}
            count = len(renamed.keys() & wanted.keys())
            if count > most:
                best, most = renamed, count
    return {key: value for key, value in best.items() if key in wanted or key.partition(".")[0] not in HEADS}


def correct_dilation(net: nn.Module, encoder_name: str) -> nn.Module:
    """Give the convolutions of smp's own encoders the dilations that stand in for the strides taken out.

    smp dilates all convolutions of a stage whose stride it takes out. Those up to and including the strided one still
    see the pixels of the stage before, and must keep its rate, as in Chen et al. (2017,
    https://arxiv.org/abs/1706.05587), torchvision's `replace_stride_with_dilation` and timm. Only then are the features
    those of the undilated encoder at every second (fourth) pixel, and pretrained weights do what they were trained for.

    A state dict says which rates it was trained with: one that was saved without the correction takes it back.
    """
    encoder = getattr(net, "encoder", None)
    if getattr(encoder, "output_stride", 32) >= 2 ** getattr(encoder, "_depth", 0) or encoder_name.startswith("tu-"):
        return net
    transformer = encoder_name.startswith("mit_")  # which cannot be built without memory for its weights
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if transformer else "meta"):
        strided = smp.encoders.get_encoder(encoder_name, depth=encoder._depth, weights=None).get_stages()
    for stride, stage in encoder.get_stages().items():
        if stride > encoder.output_stride:
            _dilate(_convolutions(stage), _convolutions(strided[stride]), stride // encoder.output_stride)
    net._version = CORRECTED
    net.register_load_state_dict_pre_hook(_take_back)
    return net


def _convolutions(stage: Any) -> list[nn.Conv2d]:
    return [conv for modules in stage for conv in modules.modules() if isinstance(conv, nn.Conv2d)]


def _dilate(stage: list[nn.Conv2d], strided: list[nn.Conv2d], rate: int) -> None:
    """Dilate a stage by half of `rate` up to its stride of 2, which is taken out, and by `rate` behind it."""
    first = next(index for index, conv in enumerate(strided) if max(conv.stride) > 1)
    for index, (conv, original) in enumerate(zip(stage, strided, strict=True)):
        if index > first and original.kernel_size == original.stride != (1, 1):  # attention's own reduction
            conv.stride, conv.dilation, conv.padding = original.stride, original.dilation, original.padding
            continue
        own = rate // 2 if index <= first or max(original.stride) > 1 else rate
        conv.dilation = tuple(own * dilation for dilation in original.dilation)
        conv.padding = tuple(d * (kernel // 2) for d, kernel in zip(conv.dilation, conv.kernel_size, strict=True))


def _take_back(net: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any], *_: Any) -> None:
    """Before a state dict is loaded: smp's rates, where it was trained with them."""
    if metadata.get("version") != CORRECTED:
        net.encoder.make_dilated(net.encoder.output_stride)
        net._version = 1
