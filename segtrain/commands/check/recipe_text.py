"""A recipe as the text of an experiment file, with the reasons beside the values."""

from collections.abc import Sequence
from typing import NamedTuple

from segtrain.commands.check.class_lines import write_text
from segtrain.commands.check.recipe import Recipe


class Findings(NamedTuple):
    """What was found in the data: lines below `data:` (how it lies on the disk, the classes), counts and settings.

    `head` are comment lines without their sign; `data_lines` are indented as they stand below `data:`; `channels`,
    `scale`, `mean` and `std` are None where the defaults hold; mean and std are in images scaled to 0..1.
    """

    name: str
    head: Sequence[str]
    data_lines: Sequence[str]
    binary: bool
    upright: bool
    pretrained: bool
    channels: int | None
    scale: float | None
    mean: Sequence[float] | None
    std: Sequence[float] | None


def write_experiment(recipe: Recipe, found: Findings) -> str:
    """The whole experiment file, YAML."""
    sections = [
        [f"# {line}".rstrip() for line in found.head],
        [f"name: {write_text(found.name)}", "seed: 0"],
        _data_lines(recipe, found),
        _transform_lines(recipe, found),
        _model_lines(recipe, found),
        _loss_lines(recipe, found),
        [
            "optimizer:",
            "  name: AdamW",
            f"  lr: {recipe.learning_rate:g}",
            "  weight_decay: 0.05",
            _line(f"  encoder_lr_factor: {recipe.encoder_lr_factor:g}", "pretrained weights move more slowly")
            if found.pretrained
            else "  encoder_lr_factor: 1.0",
            "  fused: true",
        ],
        ["schedule:", "  name: OneCycleLR", "  pct_start: 0.1"],
        _train_lines(recipe),
        [
            "log:",
            _line("  images: 6", "validation images that are drawn"),
            "  tensorboard: false",
            "  wandb:",
            _line("    mode: online", "offline without a key; or disabled"),
            "    project: segtrain",
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _line(text: str, comment: str) -> str:
    return f"{text:32} # {comment}" if len(text) < 32 else f"{text}   # {comment}"


def _data_lines(recipe: Recipe, found: Findings) -> list[str]:
    lines = ["data:", *found.data_lines, _line("  ignore_index: 255", "neither trained nor scored; padding, too")]
    if found.channels is not None:
        lines.append(f"  channels: {found.channels}")
    if found.scale is not None:
        lines.append(_line(f"  scale: {found.scale:g}", "the value in the files that means white"))
    lines.append(_line(f"  batch_size: {recipe.batch_size}", "what memory and number of images allow"))
    comment = "share of the samples that are drawn for a class, for those that are in few images"
    return [*lines, _line(f"  balance: {recipe.balance:g}", comment)]


def _transform_lines(recipe: Recipe, found: Findings) -> list[str]:
    height, width = recipe.crop
    lines = [
        "transforms:",
        "  train:",
        "    - RandomScale: {scale_limit: [-0.4, 0.7], p: 1.0}",
        f"    - RandomCrop: {{height: {height}, width: {width}, pad_if_needed: true}}",
        "    - HorizontalFlip",
    ]
    if not found.upright:
        lines.append(_line("    - RandomRotate90", "there is no up in these images"))
    if found.channels is None and found.scale is None:
        lines += [
            "    - RandomBrightnessContrast: {brightness_limit: 0.3, contrast_limit: 0.3, p: 0.5}",
            "    - HueSaturationValue: {hue_shift_limit: 8, sat_shift_limit: 30, val_shift_limit: 0, p: 0.5}",
        ]
    return [*lines, _line("  val: []", "whole images, at their own size")]


def _model_lines(recipe: Recipe, found: Findings) -> list[str]:
    weights = (
        _line("  encoder_weights: imagenet", "from the hub")
        if found.pretrained
        else _line("  encoder_weights: null", "the hub was not reached; imagenet trains faster and scores higher")
    )
    lines = [
        "model:",
        _line("  name: Unet", "python -m segtrain models lists the others"),
        f"  encoder_name: {recipe.encoder_name}",
        weights,
        "  freeze: null",
        f"  decoder_channels: {recipe.decoder_channels}",
    ]
    for key, values in (("mean", found.mean), ("std", found.std)):
        if values is not None:
            written = ", ".join(f"{value:.4g}" for value in values)
            lines.append(_line(f"  {key}: [{written}]", "of these images, scaled to 0..1"))
    return lines


def _loss_lines(recipe: Recipe, found: Findings) -> list[str]:
    if found.binary:
        return ["loss:", "  BCEWithLogitsLoss: 1.0", "  DiceLoss: 1.0"]
    entropy = "  CrossEntropyLoss: 1.0"
    if recipe.class_weights:
        entropy = _line("  CrossEntropyLoss: {coef: 1.0, class_weights: enet}", "rare classes count more")
    lines = ["loss:", entropy, "  DiceLoss: 1.0"]
    if recipe.lovasz_from is not None:
        term = f"  LovaszLoss: {{coef: 1.0, from_epoch: {recipe.lovasz_from}}}"
        lines.append(_line(term, "slow, so for the last quarter"))
    return lines


def _train_lines(recipe: Recipe) -> list[str]:
    lines = [
        "train:",
        f"  epochs: {recipe.epochs}",
        f"  accumulate_steps: {recipe.accumulate_steps}",
        "  clip_norm: null",
        "  ema_decay: null",
        f"  eval_every_epochs: {recipe.eval_every_epochs}",
        _line("  monitor: miou", "the highest is best.pt; or iou/<class>"),
        "  patience: null",
    ]
    if recipe.accumulate_steps > 1:
        lines[2] = _line(lines[2], "batches a step, as a batch is small")
    return lines
