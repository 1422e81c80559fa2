"""Runs of networks that learned nothing, and their form for the hub."""

from pathlib import Path

import torch
from torch import nn

from segtrain.checkpoint import save_checkpoint
from segtrain.commands.export import hub
from segtrain.config.layers import add_published
from segtrain.config.schema import Config
from segtrain.config.tree import dump_yaml, parse_yaml
from segtrain.inference.load import load_trained
from segtrain.models.model import build_model
from tests.commands.export.exporting import options_of

MODEL = {"name": "Unet", "encoder_name": "tu-mobilenetv3_small_050", "decoder_channels": [16, 16, 8, 8, 8]}
CAMVID = {"format": "camvid", "root": "/home/somebody/camvid"}
BEST = {
    "monitor": "miou",
    "score": 0.5123,
    "epoch": 7,
    "metrics": {"val/miou": 0.5123, "val/pixel_accuracy": 0.91, "val/iou/sky": 0.75, "val/iou/car": float("nan")},
    "definition": "mIoU is the mean IoU over the classes that occur.",
}


def train(folder: Path, *, data: dict, model: dict = MODEL, val: list | None = None) -> Path:
    """A run folder with a network that learned nothing, in fp32."""
    settings = {
        "name": "street-scenes",
        "data": data,
        "model": model,
        "transforms": {"train": ["HorizontalFlip"], "val": val or []},
        "train": {"precision": "fp32", "epochs": 9},
        "loss": {"CrossEntropyLoss": {"class_weights": "enet"}, "DiceLoss": {"coef": 0.5, "from_epoch": 3}},
    }
    config = Config.model_validate(add_published(parse_yaml(dump_yaml(settings))).plain())
    torch.manual_seed(0)
    network = build_model(config.model, channels=config.data.channels, outputs=len(config.data.classes))
    for head in network.net.segmentation_head.modules():  # labels that rounding does not change
        if isinstance(head, nn.Conv2d):
            nn.init.normal_(head.weight)
    folder.mkdir()
    save_checkpoint(
        folder / "best.pt", {"config": config.model_dump(mode="json"), "model": network.state_dict(), **BEST}
    )
    return folder


def export(run: Path, folder: Path, **given) -> Path:
    """Write the folder; return it."""
    hub.export(load_trained(run, device="cpu"), folder, options_of(**given))
    return folder
