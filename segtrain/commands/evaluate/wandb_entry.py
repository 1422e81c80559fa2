"""Weights & Biases: an evaluation in the entry of the run that is evaluated."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.checkpoint import LAST, find_checkpoint, load_checkpoint
from segtrain.commands.evaluate.output import CALIBRATION_FILE, CONFUSION_FILE
from segtrain.commands.evaluate.report import Estimate
from segtrain.commands.evaluate.scores import Scores
from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.description import read_config
from segtrain.inference.task import Task
from segtrain.log.log import resolve_mode
from segtrain.metrics import compute_iou, mean_of_known

LISTED_IMAGES = 1000  # rows of the table of images: the worst; images.csv has them all
CLASS_KEYS = ("iou", "boundary_iou", "dice", "precision", "recall", "pixels")


def find_entry(model: Path, *, trust: bool) -> dict[str, Any]:
    """What WandbWriter needs to go on with the entry that last.pt of the run names. Raises CheckpointError where there
    is none; `trust`: see load_network."""
    folder = model if model.is_dir() else model.parent
    path = find_checkpoint(folder, LAST)
    content = load_checkpoint(path)
    if not content.get("wandb_id"):
        raise CheckpointError(f"--wandb: {folder} was trained without Weights & Biases; there is no entry to log to")
    config = read_config(content, path, trust=trust)
    section = config.log.wandb
    if section.mode == "disabled":  # in the last part of the training: the entry is there
        section = section.model_copy(update={"mode": "online"})
    if (mode := resolve_mode(section.mode)) == "disabled":
        raise CheckpointError("--wandb: WANDB_MODE is disabled; unset it, or set it to online or offline")
    return {
        "folder": folder,
        "config": section,
        "mode": mode,
        "run_name": folder.name,
        "resolved_config": config.model_dump(mode="json", exclude_none=False),
        "class_names": Task.of(config).picture_names,
        "run_id": content["wandb_id"],
        "resume_step": content.get("wandb_step") or 0,
    }


def log_evaluation(
    entry: dict[str, Any],
    folder: Path,
    *,
    split: str,
    values: dict[str, Estimate],
    scores: Scores,
    panels: Sequence[NDArray[np.uint8]],
) -> None:
    """Log numbers, tables and pictures as evaluate/SPLIT/..; a failure costs one warning line, the files are there.

    `entry` is that of find_entry; `folder` holds the pictures that were drawn; `panels` are those of scores.worst.
    """
    try:
        import wandb

        from segtrain.log.wandb_writer import WandbWriter

        writer = WandbWriter(**entry, say=print)
        prefix = f"evaluate/{split}"
        numbers = {f"{prefix}/{name}": value.value for name, value in values.items() if not math.isnan(value.value)}
        rows = [[name, *(_known(values[f"{key}/{name}"].value) for key in CLASS_KEYS)] for name in scores.task.names]
        miou = mean_of_known(compute_iou(scores.regions))
        worst = np.argsort(miou, kind="stable")[:LISTED_IMAGES]
        listed = [[scores.names[index], _known(miou[index])] for index in worst]
        shown = {
            f"{prefix}/tables/classes": wandb.Table(columns=["class", *CLASS_KEYS], data=rows),
            f"{prefix}/tables/images": wandb.Table(columns=["name", "miou"], data=listed),
            f"{prefix}/worst": [
                wandb.Image(Image.fromarray(panel), caption=f"{item.name}: mIoU {item.miou:.4f}", file_type="jpg")
                for panel, item in zip(panels, scores.worst, strict=True)
            ],
        }
        for name in (CONFUSION_FILE, CALIBRATION_FILE):
            if (folder / name).exists():
                with Image.open(folder / name, formats=["PNG"]) as picture:
                    shown[f"{prefix}/{Path(name).stem}"] = wandb.Image(picture.convert("RGB"))
        writer.write(entry["resume_step"] + 1, values=numbers | shown)
        writer.finish(numbers, exit_code=0)
    except Exception as error:
        print(f"warning: nothing was logged to Weights & Biases: {reason_of(error)}")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
