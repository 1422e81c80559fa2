"""How much of an evaluation is scoring.

  python -m benchmarks.evaluate_metrics data/camvid
  python -m benchmarks.evaluate_metrics data/camvid --model FPN/mobilenet_v2 --images 32

The images of CamVid's validation split are predicted and scored as `python -m segtrain evaluate` does, in batches,
and each part is timed by itself, one after the other: reading, predicting (to labels and confidences), the confusion
matrices, the boundaries, the calibration, the rest of scoring. The shares are of their sum. The weights do not matter
for that.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from segtrain.commands.evaluate import scores
from segtrain.commands.evaluate.source import find_split
from segtrain.config.rules import load_config
from segtrain.data.dataset import RawSamples
from segtrain.devices import resolve_device, resolve_precision
from segtrain.inference.network import TorchNetwork
from segtrain.inference.predictor import Predictor
from segtrain.inference.score import score
from segtrain.metrics import ConfusionMatrix
from segtrain.training import build

PARTS = {"boundaries": "count_boundaries", "calibration": "count_confidences"}
REST = "the rest of scoring"


class Stopwatch:
    """Seconds by what they were spent on; what runs inside of another is taken off it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def timed(self, what: str, call: Callable[..., Any], *, inside: str | None = None) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                spent = time.perf_counter() - started
                self.seconds[what] += spent
                if inside is not None:
                    self.seconds[inside] -= spent

        return run


def main() -> None:
    options = parse_arguments()
    architecture, encoder = options.model.split("/")
    model = f"model={{name: {architecture}, encoder_name: {encoder}}}"
    config = load_config(["data.format=camvid", f"data.root={options.root}", model, f"train.device={options.device}"])
    device = resolve_device(config.train.device)
    torch.manual_seed(0)
    dtype = resolve_precision(config.train.precision, device)
    predictor = Predictor([TorchNetwork(build.place_model(config, device), config, device=device, dtype=dtype)])
    split = find_split(config, "val")
    dataset = RawSamples(split.samples, split.decoder, image_options=predictor.task.image_options)
    images = min(options.images, len(dataset))
    watch = Stopwatch()
    read = watch.timed("reading", dataset.batch)
    predict = watch.timed("predicting", predictor.predict_group, inside=REST)
    counted = scores.Scores(predictor.task)
    ConfusionMatrix.update = watch.timed("confusion matrices", ConfusionMatrix.update, inside=REST)
    for what, name in PARTS.items():
        setattr(scores, name, watch.timed(what, getattr(scores, name), inside=REST))
    count = watch.timed(REST, score)
    predictor.predict(np.zeros((360, 480, 3), np.uint8))
    for first in range(0, images, options.batch_size):
        groups = read(range(first, min(first + options.batch_size, images)))
        count(predict, [groups], predictor.task, device=device, see=counted.add)
    report(watch.seconds, images, f"{options.model}, {str(dtype).removeprefix('torch.')} on {device}")


def report(seconds: Counter[str], images: int, title: str) -> None:
    total = sum(seconds.values())
    print(f"{title}, {images} images: {images / total:.2f} images/s")
    for what in ("reading", "predicting", "confusion matrices", *PARTS, REST):
        print(f"{what:20} {1000 * seconds[what] / images:8.2f} ms an image {seconds[what] / total:7.2%}")
    scored = total - seconds["reading"] - seconds["predicting"]
    print(f"{'all of scoring':20} {1000 * scored / images:8.2f} ms an image {scored / total:7.2%}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="CamVid as `python -m segtrain datasets camvid` says")
    parser.add_argument("--model", default="Unet/tu-resnet10t", help="architecture/encoder")
    parser.add_argument("--images", type=int, default=101)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
