"""Encoders: the model hub that their weights come from, dilation at output stride 8 and 16, patches of 14 pixels."""

import threading
import urllib.error
import urllib.request
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import constants
from segmentation_models_pytorch.base.initialization import initialize_decoder
from segmentation_models_pytorch.decoders.dpt.decoder import ReassembleBlock
from torch import nn

HUB_TIMEOUT_SECONDS = 4.0
FREE_OF_SIZE = ("tu-samvit", "tu-naflexvit", "tu-qwen3_vit", "tu-gemma4_vit")  # transformers that need not be told
CORRECTED = 2  # version of a dilated network in its state dict; those of smp and of older checkpoints have 1 or none


def any_size(encoder_name: str, *, plain: bool = False) -> dict[str, bool]:
    """What timm has to be told, so that a transformer takes images of other sizes than it was pretrained at; `plain`
    ones give one resolution."""
    if encoder_name.startswith("tu-swin"):
        return {"strict_img_size": False}
    return {"dynamic_img_size": True} if plain and not encoder_name.startswith(FREE_OF_SIZE) else {}


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


def list_hub_weights(encoder_name: str) -> dict[str, str]:
    """The hub's name of each of an encoder's weights, the default first, and the license that timm states or ""."""
    if not encoder_name.startswith("tu-"):
        known = smp.encoders.encoders[encoder_name]["pretrained_settings"]
        return {settings["repo_id"]: "" for settings in known.values()}
    default = timm.get_pretrained_cfg(encoder_name[3:], allow_unregistered=True)
    if default is None:
        return {}
    tags = timm.list_pretrained(f"{default.architecture}.*")
    found = [default, *(timm.get_pretrained_cfg(tag) for tag in tags)]
    return {settings.hf_hub_id: settings.license or "" for settings in found if settings.hf_hub_id}


def describe_hub_weights(encoder_name: str, weights: str | bool) -> str:
    """The hub's name of weights that were loaded, with their license where timm states one."""
    if not encoder_name.startswith("tu-"):
        known = smp.encoders.encoders[encoder_name]["pretrained_settings"]
        return known["imagenet" if weights is True else weights]["repo_id"]
    name, license = next(iter(list_hub_weights(encoder_name).items()))
    return f"{name}, license {license}" if license else name


def take_any_patch(net: smp.DPT) -> smp.DPT:
    """Let a DPT take a transformer whose patch is not a power of two, like DINOv2's of 14 pixels.

    smp halves and doubles the features by what leads from the patch to 4, 8, .. pixels, which is no whole number here.
    So they are treated as those of the next power of two, and the logits come out larger than the image by that much,
    as in Depth Anything (Yang et al. 2024, https://arxiv.org/abs/2401.10891), which resizes them to it.
    """
    patch, blocks = net.encoder.output_stride, net.decoder.reassemble_blocks
    treated_as = 2 ** (patch - 1).bit_length()
    if treated_as != patch:
        for index, block in enumerate(blocks):
            inputs, hidden = block.project_to_out_channel.in_channels, block.project_to_out_channel.out_channels
            fused = block.project_to_feature_dim.out_channels
            blocks[index] = ReassembleBlock(inputs, hidden, fused, treated_as / 2 ** (index + 2))
        initialize_decoder(net.decoder)
        net.logits_stride = patch / treated_as
        net.stride = patch * max(2 ** (len(blocks) + 1) // treated_as, 1)
    return net


def correct_dilation(net: nn.Module, encoder_name: str) -> nn.Module:
    """Correct the rates of a network's encoder, which is one of smp's own.

    A state dict says which rates it was trained with: one that was saved without the correction takes it back.
    """
    correct_rates(net.encoder, encoder_name)
    net._version = CORRECTED
    net.register_load_state_dict_pre_hook(_take_back)
    return net


def correct_rates(encoder: nn.Module, encoder_name: str) -> None:
    """Give the convolutions of one of smp's own encoders the dilations that stand in for the strides taken out.

    smp dilates all convolutions of a stage whose stride it takes out. Those up to and including the strided one still
    see the pixels of the stage before, and must keep its rate, as in Chen et al. (2017,
    https://arxiv.org/abs/1706.05587), torchvision's `replace_stride_with_dilation` and timm. Only then are the features
    those of the undilated encoder at every second (fourth) pixel, and pretrained weights do what they were trained for.
    """
    transformer = encoder_name.startswith("mit_")  # which cannot be built without memory for its weights
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if transformer else "meta"):
        strided = smp.encoders.get_encoder(encoder_name, depth=encoder._depth, weights=None).get_stages()
    for stride, stage in encoder.get_stages().items():
        if stride > encoder.output_stride:
            _dilate(_convolutions(stage), _convolutions(strided[stride]), stride // encoder.output_stride)


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
