"""Layers of an encoder, for a learning rate that falls from each to the one before it."""

import re

import timm
import torch
from timm.models import group_parameters
from torch import nn

from segtrain.models.pretrained import plain_name


def find_layers(encoder: nn.Module, encoder_name: str) -> dict[str, int]:
    """The layer of each parameter of an encoder, by its name; 0 is the first.

    Those of timm's encoders are what timm takes for layers (`group_matcher`): as a rule the stem and each block. smp's
    own are told apart by the names of their blocks, in the order of the network.
    """
    parameters = dict(encoder.named_parameters())
    names = list(parameters)
    if encoder_name.startswith("tu-"):
        with torch.device("meta"):
            whole = timm.create_model(encoder_name.removeprefix("tu-"))
        groups = group_parameters(whole, whole.group_matcher())
        known = {plain_name(name): group for group, members in groups.items() for name in members}
        found = [known.get(plain_name(re.sub(r"^(model\.)+", "", name))) for name in names]
        order = sorted({group for group in found if group is not None})
        return {
            n: len(order) - 1 if group is None else order.index(group) for n, group in zip(names, found, strict=True)
        }
    if encoder_name.startswith("mit_"):  # which names all embeddings of patches before the first block
        names.sort(key=lambda name: int(re.search(r"\d+", name)[0]))
    layers: dict[str, int] = {}
    index, block = -1, None
    for name in names:
        key = re.match(r"[^.]+(\.\d+)+(?=\.)|features\.[^.]+|[^.]+", name)[0]  # layer1.0, features.denseblock1, bn1
        if index < 0 or (key != block and parameters[name].ndim > 1):  # a norm belongs to what is before it
            index, block = index + 1, key
        layers[name] = index
    return layers
