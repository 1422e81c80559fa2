"""Inference options: tiles, scales, flips, ensembles, thresholds; the flags of all commands that predict."""

import argparse
import math
from dataclasses import dataclass
from typing import Any, Literal

from segtrain.errors import ConfigError

INFER_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers like 0.75,1,1.25") from error


# field of InferOptions, flag, how argparse reads it, help
FLAGS = (
    (
        "tile_px",
        "--tile",
        {"type": int, "metavar": "PX"},
        "predict square tiles of this side, blended with Gaussian weights",
    ),
    ("overlap", "--overlap", {"type": float}, "share of a tile that overlaps its neighbor (0.25)"),
    ("scales", "--scales", {"type": _numbers, "metavar": "0.75,1,1.25"}, "average over the image at these scales"),
    ("flip", "--flip", {"action": "store_const", "const": "horizontal"}, "average over the image and its mirror image"),
    (
        "flip",
        "--d4",
        {"action": "store_const", "const": "d4"},
        "average over the eight flips and rotations, for aerial images",
    ),
    (
        "vote",
        "--vote",
        {"action": "store_true"},
        "let several models vote with labels (default: average their probabilities)",
    ),
    ("weights", "--weights", {"type": _numbers, "metavar": "2,1"}, "weight of each model, in the same order"),
    (
        "thresholds",
        "--threshold",
        {"type": _numbers, "metavar": "0.5"},
        "minimum probability of a class (for one class or overlapping classes)",
    ),
    (
        "batch_size",
        "--batch-size",
        {"type": int},
        "tiles, or images of the same size, per forward pass (4; evaluate: as in training)",
    ),
)


@dataclass(frozen=True)
class InferOptions:
    """What a Predictor does in addition to one pass over the entire image.

    Args:
        tile_px: side of the square tiles that images are cut into; None predicts entire images.
        overlap: share of a tile's side that overlaps its neighbor, at least 0 and less than 1.
        scales: factors by which the image is resized before prediction; the probabilities are averaged.
        flip: none; horizontal adds the mirrored image; d4 all eight flips and rotations.
        vote: the models of an ensemble vote with their labels; otherwise their probabilities are averaged.
        weights: one for each model of an ensemble, in the same order; None weights them equally.
        thresholds: minimum probabilities of the classes, one for each or one for all; None uses those of the model.
        batch_size: tiles, or images of the same size, per forward pass.

    Raises ConfigError for values out of range.
    """

    tile_px: int | None = None
    overlap: float = 0.25
    scales: tuple[float, ...] = (1.0,)
    flip: Literal["none", "horizontal", "d4"] = "none"
    vote: bool = False
    weights: tuple[float, ...] | None = None
    thresholds: tuple[float, ...] | None = None
    batch_size: int = 4

    def __post_init__(self) -> None:
        checks = [
            (self.tile_px is None or self.tile_px >= 16, f"--tile {self.tile_px}: a tile needs at least 16 pixels"),
            (0 <= self.overlap < 1, f"--overlap {self.overlap}: must be at least 0 and below 1"),
            (
                self.scales and all(0 < scale <= 8 for scale in self.scales),
                f"--scales {_show(self.scales)}: each must be greater than 0 and at most 8",
            ),
            (
                self.weights is None or (min(self.weights) >= 0 and 0 < sum(self.weights) < math.inf),
                f"--weights {_show(self.weights)}: all must be finite and not negative, and at least one greater "
                f"than 0",
            ),
            (
                self.thresholds is None or all(0 <= value <= 1 for value in self.thresholds),
                f"--threshold {_show(self.thresholds)}: a probability is between 0 and 1",
            ),
            (self.batch_size >= 1, f"--batch-size {self.batch_size}: must be at least 1"),
        ]
        for holds, message in checks:
            if not holds:
                raise ConfigError(message)

    def describe(self) -> str:
        """The options that change a prediction and are not the default, like `tile_px 48, scales 0.75,1`."""
        changed = {name: value for name, value in vars(self).items() if value != getattr(InferOptions, name)}
        return ", ".join(f"{name} {_show(value)}" for name, value in changed.items() if name != "batch_size")


def _show(value: Any) -> str:
    return ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else str(value)


def add_infer_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of InferOptions, and those of the device."""
    group = parser.add_argument_group("how to apply the model")
    for name, flag, reading, text in FLAGS:
        group.add_argument(flag, dest=name, default=getattr(InferOptions, name), help=text, **reading)
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps")
    group.add_argument("--precision", choices=INFER_PRECISIONS, help="default: as in the training")
    group.add_argument(
        "--trust",
        action="store_true",
        help="also load models that can run any code: TorchScript, torch.export, SavedModel, networks of your own",
    )


def read_infer_options(options: argparse.Namespace) -> InferOptions:
    """From the parsed flags; None means the default. Raises ConfigError for values out of range."""
    given = {name: getattr(options, name) for name, *_ in FLAGS}
    return InferOptions(**{name: value for name, value in given.items() if value is not None})
