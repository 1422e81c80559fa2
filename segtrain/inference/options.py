"""How models are applied: tiles, scales, flips, ensembles, thresholds; the same flags for all that predict."""

import argparse
import math
from dataclasses import dataclass
from typing import Literal

from segtrain.errors import ConfigError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class InferOptions:
    """What a Predictor does beside one pass over the whole image.

    Args:
        tile_px: side of the square tiles that images are cut into; None predicts them whole.
        overlap: share of a tile's side that its neighbour covers too, 0 or more and below 1.
        scales: factors that the image is resized by before the model sees it; the probabilities are averaged.
        flip: none; horizontal adds the mirrored image; d4 all eight turns and mirrorings of it.
        vote: models of an ensemble vote with their labels; otherwise their probabilities are averaged.
        weights: one for each model of an ensemble, in their order; None weighs them equally.
        thresholds: probabilities from which on a class is there, one for each or one for all; None takes the
            models' own.
        batch_size: tiles, or images of one size, in one pass of a model.

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
            (self.tile_px is None or self.tile_px >= 16, f"--tile {self.tile_px}: a tile has at least 16 pixels"),
            (0 <= self.overlap < 1, f"--overlap {self.overlap}: must be at least 0 and below 1"),
            (
                self.scales and all(0 < scale <= 8 for scale in self.scales),
                f"--scales {_list(self.scales)}: each must be above 0 and at most 8",
            ),
            (
                self.weights is None or (min(self.weights) >= 0 and 0 < sum(self.weights) < math.inf),
                f"--weights {_list(self.weights)}: none may be negative or endless, and one must be above 0",
            ),
            (
                self.thresholds is None or all(0 <= value <= 1 for value in self.thresholds),
                f"--threshold {_list(self.thresholds)}: a probability lies between 0 and 1",
            ),
            (self.batch_size >= 1, f"--batch-size {self.batch_size}: must be at least 1"),
        ]
        for holds, message in checks:
            if not holds:
                raise ConfigError(message)


def _list(numbers: tuple[float, ...] | None) -> str:
    return ",".join(f"{number:g}" for number in numbers or ())


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers like 0.75,1,1.25") from error


def add_infer_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of InferOptions, and those of the device."""
    group = parser.add_argument_group("how the model is applied")
    group.add_argument(
        "--tile", type=int, metavar="PX", help="cut images into square tiles of this side, blended by Gaussian weights"
    )
    group.add_argument(
        "--overlap", type=float, default=0.25, help="share of a tile that its neighbour covers too (0.25)"
    )
    group.add_argument(
        "--scales", type=_numbers, default=(1.0,), metavar="0.75,1,1.25", help="average over resized images"
    )
    group.add_argument(
        "--flip",
        action="store_const",
        const="horizontal",
        default="none",
        help="average over the image and its mirror image",
    )
    group.add_argument(
        "--d4",
        action="store_const",
        const="d4",
        dest="flip",
        help="average over all eight turns and mirrorings, for aerial images",
    )
    group.add_argument(
        "--vote", action="store_true", help="several models vote with labels; default: probabilities are averaged"
    )
    group.add_argument("--weights", type=_numbers, metavar="2,1", help="weight of each model, in their order")
    group.add_argument(
        "--threshold",
        type=_numbers,
        metavar="0.5",
        help="probability from which on a class is there (one class, or classes that overlap)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=4,
        help="tiles, or images of one size, in one pass (4; evaluate: as in training)",
    )
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps")
    group.add_argument("--precision", choices=PRECISIONS, help="default: as in the training")
    group.add_argument(
        "--trust",
        action="store_true",
        help="load TorchScript, torch.export and SavedModel files too, which can run any code",
    )


def read_infer_options(options: argparse.Namespace) -> InferOptions:
    """From the parsed flags. Raises ConfigError for values out of range."""
    return InferOptions(
        tile_px=options.tile,
        overlap=options.overlap,
        scales=options.scales,
        flip=options.flip,
        vote=options.vote,
        weights=options.weights,
        thresholds=options.threshold,
        batch_size=options.batch_size,
    )
