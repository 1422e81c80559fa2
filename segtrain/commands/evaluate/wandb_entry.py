"""Weights & Biases: an evaluation as a run of its own, beside that of the training."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segtrain.commands.evaluate.output import CALIBRATION_FILE, CONFUSION_FILE
from segtrain.commands.evaluate.report import Estimate
from segtrain.commands.evaluate.scores import Scores, Shown
from segtrain.config.log_tune_schema import WandbConfig
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, reason_of
from segtrain.inference.options import InferOptions
from segtrain.log.log import resolve_mode
from segtrain.metrics import compute_iou, mean_of_known

LISTED_IMAGES = 1000  # rows of the table of images: the worst; images.csv has them all
PICTURED_IMAGES = 100  # of these, those with a picture
CLASS_KEYS = ("iou", "boundary_iou", "dice", "precision", "recall", "pixels")


def find_entry(
    options: argparse.Namespace, infer: InferOptions, models: Sequence[Path], members: Mapping[Path, Config]
) -> dict[str, Any]:
    """What the run in wandb is told at its start: where it belongs, as the training of the first model did, and how
    these models are applied. Raises ConfigError where the environment switches wandb off."""
    config = members.get(models[0])
    section = config.log.wandb if config is not None else WandbConfig()
    mode = resolve_mode("online" if section.mode == "disabled" else section.mode)  # the command line asks for it
    if mode == "disabled":
        raise ConfigError("--wandb: disabled by WANDB_MODE or WANDB_DISABLED; unset it")
    flags = asdict(infer) | {"device": options.device, "precision": options.precision}
    described: dict[str, Any] = {"models": [*map(str, models)], "split": options.split, "flags": flags}
    if config is not None:
        described["experiment"] = config.model_dump(mode="json", exclude_none=False)
    return {"config": section, "mode": mode, "resolved_config": described, "models": models}


def log_evaluation(
    entry: dict[str, Any],
    folder: Path,
    *,
    split: str,
    values: dict[str, Estimate],
    scores: Scores,
    panels: Sequence[NDArray[np.uint8]],
) -> None:
    """Log numbers, tables and pictures as SPLIT/..; a failure costs one warning line, the files are there.

    `entry` is that of find_entry; `folder` holds the pictures that were drawn; `panels` are those of the worst images.
    """
    try:
        import wandb

        from segtrain.log.wandb_media import known_or_none, to_jpeg
        from segtrain.log.wandb_writer import WandbWriter, read_entry

        models, section = entry.pop("models"), entry.pop("config")
        trained = read_entry(models[0] if models[0].is_dir() else models[0].parent)
        section = section.model_copy(update={key: trained[key] for key in ("project", "entity") if trained.get(key)})
        name = f"{folder.resolve().parent.name}-{folder.name}"
        names = scores.task.picture_names
        writer = WandbWriter(
            folder, section, **entry, run_name=name, class_names=names, say=print, job_type="evaluation"
        )
        for model in models:
            writer.use_model(model)
        plain = {key: value.value for key, value in values.items()}
        numbers = {f"{split}/{key}": known_or_none(value) for key, value in plain.items() if _is_curve(key)}
        numbers = {key: value for key, value in numbers.items() if value is not None}
        rows = [[name, *(known_or_none(plain[f"{key}/{name}"]) for key in CLASS_KEYS)] for name in scores.task.names]
        shown = {
            f"{split}/tables/classes": wandb.Table(columns=["class", *CLASS_KEYS], data=rows),
            f"{split}/tables/images": _build_images(scores),
            f"{split}/worst": [
                to_jpeg(panel, f"{item.name}: mIoU {item.miou:.4f}")
                for panel, item in zip(panels, scores.worst, strict=False)
            ],
        }
        for name in (CONFUSION_FILE, CALIBRATION_FILE):
            if (folder / name).exists():
                with Image.open(folder / name, formats=["PNG"]) as picture:
                    shown[f"{split}/{Path(name).stem}"] = wandb.Image(picture.convert("RGB"))
        writer.write(0, values=numbers | shown)
        writer.finish(None, exit_code=0)
    except Exception as error:
        print(f"warning: nothing was logged to Weights & Biases: {reason_of(error)}")


def _is_curve(key: str) -> bool:
    """Whether a number is more than a cell of the table of the classes; their IoU is."""
    return "/" not in key or key.startswith("iou/")


def _build_images(scores: Scores) -> Any:
    """A row an image, the worst first: its masks over it, its mIoU and the IoU of each class, to sort by."""
    import wandb

    from segtrain.log.wandb_media import known_or_none

    iou = compute_iou(scores.regions)
    means = mean_of_known(iou)
    pictures = {item.name: _draw_masks(item, scores.task.picture_names) for item in scores.worst}
    rows = [
        [scores.names[index], pictures.get(scores.names[index]), *map(known_or_none, (means[index], *iou[index]))]
        for index in np.argsort(means, kind="stable")[:LISTED_IMAGES]
    ]
    columns = ["name", "image", "miou", *(f"iou/{name}" for name in scores.task.names)]
    return wandb.Table(columns=columns, data=rows)


def _draw_masks(item: Shown, names: Sequence[str]) -> Any:
    import wandb

    from segtrain.log.wandb_media import MOST_LABELS, build_mask, to_jpeg

    if len(names) > MOST_LABELS:
        return to_jpeg(item.image, item.name)
    masks = {"prediction": build_mask(item.prediction, names), "ground_truth": build_mask(item.mask, names)}
    classes = wandb.Classes([{"id": index, "name": name} for index, name in enumerate(names)])
    return to_jpeg(item.image, item.name, masks=masks, classes=classes)
