"""List networks and encoders, or measure the size and cost of one."""

import argparse
import csv
from functools import cache
from pathlib import Path

from segtrain.config.libraries import (
    accepted,
    check_arguments,
    check_encoder,
    encoder_groups,
    library_index,
    takes_encoder,
)
from segtrain.config.mistakes import render_mistakes
from segtrain.config.networks import GROUPS, NETWORKS
from segtrain.config.rules import REFUSED_MODEL_ARGUMENTS
from segtrain.config.schema import ModelConfig
from segtrain.config.section import Mistake, suggest
from segtrain.config.tree import Value
from segtrain.errors import ConfigError

COSTS_FILE = Path(__file__).with_name("costs.csv")  # python -m tools.network_costs writes it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "words", nargs="*", help="show names that contain this word; or measure a network and its encoder"
    )
    parser.add_argument(
        "--size", nargs=2, type=int, default=(512, 512), metavar=("H", "W"), help="image size for multiply-adds"
    )


def main(options: argparse.Namespace) -> None:
    """Print the names that contain the word; for a network with its encoder, its parameters and multiply-adds."""
    words = options.words
    if len(words) == 2 or (len(words) == 1 and words[0] in NETWORKS and not takes_encoder(words[0])):
        return measure_model(*words, size=tuple(options.size))
    word = " ".join(words)
    groups = {
        f"{group}, {encoders}": [_describe(name) for name, row in NETWORKS.items() if row.group == group]
        for group, encoders in GROUPS.items()
    }
    networks = len(groups)
    index, timm_groups = library_index(), encoder_groups()
    if timm_groups is None:
        timm_groups = {"pyramid": index["timm_models"], "plain": []}
    groups["encoders of smp (weights)"] = [f"{name} ({', '.join(kinds)})" for name, kinds in index["encoders"].items()]
    groups["encoders of timm"] = [f"tu-{name}" for name in timm_groups["pyramid"]]
    groups["plain transformers of timm"] = [f"tu-{name}" for name in timm_groups["plain"]]
    chosen = [[line for line in lines if word.lower() in line.split()[0].lower()] for lines in groups.values()]
    if not any(chosen):
        names = [line.split()[0] for lines in groups.values() for line in lines]
        raise ConfigError(f"models: no network or encoder has '{word}' in its name; {suggest(word, names)}")
    for number, (title, lines) in enumerate(zip(groups, chosen, strict=True)):
        if lines:
            print(f"{title}: {len(lines)}")
            print("".join(f"  {line}\n" for line in lines), end="")
        if number == networks - 1 and any(chosen[:networks]):
            print("M parameters, G multiply-adds for an image of 512 x 512 with 19 classes, and resnet18 or")
            print("tu-vit_small_patch16_224 as the encoder, if any; `models NETWORK ENCODER` measures others")


@cache
def _read_costs() -> dict[str, str]:
    with COSTS_FILE.open(encoding="utf-8") as file:
        return {
            row["network"]: f"{int(row['parameters']) / 1e6:5.1f} M {int(row['multiply_adds']) / 1e9:6.1f} G"
            for row in csv.DictReader(file)
        }


def _describe(name: str) -> str:
    """A network with what it costs, its paper and what it is good for."""
    return f"{name:14} {_read_costs()[name]}  {NETWORKS[name].paper:19} {NETWORKS[name].good_for}"


def measure_model(network: str, encoder: str | None = None, *, size: tuple[int, int]) -> None:
    """Print parameters, multiply-adds and stride of a network with an encoder, at an input of `size` (H, W)."""
    if min(size) < 1:
        raise ConfigError(f"--size {size[0]} {size[1]}: height and width must be at least 1")
    mistakes = [*check_arguments("model", network, (), path=(), refused=REFUSED_MODEL_ARGUMENTS)]
    if takes_encoder(network):
        mistakes += check_encoder(encoder, path=(), architecture=network)
    elif encoder is not None:
        mistakes.append(Mistake((), f"{network} has no encoder to choose; write only its name"))
    if mistakes:
        raise ConfigError(*render_mistakes(Value({}, "models"), mistakes))

    from segtrain.models.costs import count_multiply_adds
    from segtrain.models.encoder import list_hub_weights
    from segtrain.models.model import build_model

    model = build_model(ModelConfig(name=network, encoder_name=encoder), channels=3, outputs=1)
    parts = {"encoder": model.encoder, "full model": model}
    for name, part in parts.items():
        if part is None:
            continue
        print(f"{name:12} {sum(parameter.numel() for parameter in part.parameters()) / 1e6:8.2f} M parameters")
    print(f"multiply-adds {count_multiply_adds(model, size) / 1e9:7.2f} G for one image of {size[0]} x {size[1]}")
    print(f"image sides are padded to multiples of {model.stride}")
    arguments = [name for name in accepted("model", network) if name not in ("encoder_name", "encoder_weights")]
    print(f"arguments     {', '.join(name for name in arguments if name not in REFUSED_MODEL_ARGUMENTS) or 'none'}")
    if network in NETWORKS:
        print(f"paper         {NETWORKS[network].paper}, {NETWORKS[network].url}")
    for name, license in (list_hub_weights(encoder) if encoder else {}).items():
        print(f"pretrained    {name}{f', license {license}' if license else ''}")
