"""Costs of the networks: `python -m tools.network_costs` writes segtrain/commands/models/costs.csv anew.

Parameters and multiply-adds of each, in evaluation, with 19 classes, for one image of 512 x 512; on REFERENCE_ENCODERS.
"""

import csv
from collections.abc import Iterator

import torch

from segtrain.commands.models.command import COSTS_FILE
from segtrain.config.libraries import takes_encoder
from segtrain.config.networks import NETWORKS, TRANSFORMERS
from segtrain.config.schema import ModelConfig
from segtrain.models.costs import count_multiply_adds
from segtrain.models.model import build_model

CLASSES, SIZE = 19, (512, 512)


def reference_encoder(name: str) -> str | None:
    """The encoder that a network is measured with; None where it takes none."""
    if not takes_encoder(name):
        return None
    return "tu-vit_small_patch16_224" if NETWORKS[name].group == TRANSFORMERS else "resnet18"


def measure_costs(name: str, device: str = "meta") -> tuple[int, int]:
    """Parameters and multiply-adds of a network; on the device `meta` nothing is computed."""
    config = ModelConfig(name=name, encoder_name=reference_encoder(name))
    with torch.device(device):
        model = build_model(config, channels=3, outputs=CLASSES)
        return sum(parameter.numel() for parameter in model.parameters()), count_multiply_adds(model, SIZE)


def list_costs() -> Iterator[tuple[str, int, int]]:
    """Name, parameters and multiply-adds of every network."""
    for name in NETWORKS:
        # These two leave autocast for a while, which does not know the device meta.
        yield (name, *measure_costs(name, "cpu" if name in ("EncNet", "EoMT") else "meta"))


if __name__ == "__main__":
    with COSTS_FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "parameters", "multiply_adds"])
        writer.writerows(list_costs())
    print(f"{COSTS_FILE}: written")
