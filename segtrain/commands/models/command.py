"""List architectures and encoders, or measure one pair of them."""

import argparse

from segtrain.config.libraries import check_arguments, check_encoder, encoder_groups, library_index
from segtrain.config.mistakes import render_mistakes
from segtrain.config.networks import NETWORKS, TRANSFORMERS
from segtrain.config.rules import REFUSED_MODEL_ARGUMENTS
from segtrain.config.schema import ModelConfig
from segtrain.config.tree import Value
from segtrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("words", nargs="*", help="a word that names must contain; or an architecture and an encoder")
    parser.add_argument("--size", nargs=2, type=int, default=(512, 512), metavar=("H", "W"), help="for multiply-adds")


def main(options: argparse.Namespace) -> None:
    """Print the names that contain the word; for a pair, its parameters and multiply-adds."""
    index, timm_groups = library_index(), encoder_groups()
    if len(options.words) == 2:
        return measure_model(*options.words, size=tuple(options.size))
    word = " ".join(options.words).lower()
    groups = {
        "architectures": index["names"]["model"],
        "encoders of smp (weights)": [f"{name} ({', '.join(kinds)})" for name, kinds in index["encoders"].items()],
    }
    if timm_groups is None:
        timm_groups = {"pyramid": index["timm_models"], "plain": []}
    groups["encoders of timm"] = [f"tu-{name}" for name in timm_groups["pyramid"]]
    takers = [name for name, row in NETWORKS.items() if row.group == TRANSFORMERS]
    groups[f"encoders of timm that only {' and '.join(takers)} take"] = [f"tu-{name}" for name in timm_groups["plain"]]
    for title, names in groups.items():
        chosen = [name for name in names if word in name.lower()]
        print(f"{title}: {len(chosen)}")
        print("".join(f"  {name}\n" for name in chosen), end="")


def measure_model(architecture: str, encoder: str, *, size: tuple[int, int]) -> None:
    """Print parameters, multiply-adds and stride of an architecture with an encoder, at an input of `size` (H, W)."""
    if min(size) < 1:
        raise ConfigError(f"--size {size[0]} {size[1]}: a height and a width of at least 1")
    mistakes = [*check_arguments("model", architecture, (), path=(), refused=REFUSED_MODEL_ARGUMENTS)]
    mistakes += check_encoder(encoder, path=(), architecture=architecture)
    if mistakes:
        raise ConfigError(*render_mistakes(Value({}, "models"), mistakes))

    from segtrain.models.costs import count_multiply_adds
    from segtrain.models.encoder import list_hub_weights
    from segtrain.models.model import build_model

    model = build_model(ModelConfig(name=architecture, encoder_name=encoder), channels=3, outputs=1)
    parts = {"encoder": model.encoder, "whole model": model}
    for name, part in parts.items():
        if part is None:
            continue
        print(f"{name:12} {sum(parameter.numel() for parameter in part.parameters()) / 1e6:8.2f} M parameters")
    print(f"multiply-adds {count_multiply_adds(model, size) / 1e9:7.2f} G for one image of {size[0]} x {size[1]}")
    print(f"image sides are padded to multiples of {model.stride}")
    for name, licence in list_hub_weights(encoder).items():
        print(f"pretrained    {name}{f', licence {licence}' if licence else ''}")
