"""Prediction speed from files to files, beside the bare forward pass over the same pixels.

  python -m benchmarks.predict_throughput runs/camvid-1 data/camvid/val          # 2,000 images and one of 8,192 x 8,192
  python -m benchmarks.predict_throughput runs/camvid-1 data/camvid/val --images 40 --side 2048 --rounds 3

Two workloads, megapixels per second of
  whole  images at their own size (those of the folder, over and over), default files: index, colors, overlay
  tiles  one TIFF of --side x --side pixels, put together from them, in tiles of --tile pixels
each as
  a  predict_files, as predict.py runs it: reading, predicting, writing
  b  the network alone on a batch that stays in memory: for `tiles` as many tiles as a has, those parts that overlap too

a and b take turns in one process, so that a machine whose speed drifts slows both; what counts is the ratio of a to b,
round by round. Peak memory is that of a process of its own for each.
"""

import argparse
import itertools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import torch

from benchmarks.train_throughput import peak_resident_bytes
from segtrain.command import run_command
from segtrain.commands.predict.job import predict_files
from segtrain.data.dataset import images_to_tensor
from segtrain.images.reading import image_size, read_image
from segtrain.inference.inputs import find_images
from segtrain.inference.options import INFER_PRECISIONS, InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.inference.tiles import tile_starts

WORKLOADS = ("whole", "tiles")

Contender = Callable[[], float]  # does all of a round; the megapixels of the images


def from_files(predictor: Predictor, images: Path, output: Path) -> Contender:
    """(a) All images of a folder."""
    megapixels = sum(math.prod(image_size(path)) for path in images.iterdir()) / 1e6

    def predict() -> float:
        report = predict_files(predictor, find_images([str(images)], output=output), output)
        assert not report.failures, report.failures
        return megapixels

    return predict


def bare_passes(predictor: Predictor, images: Path) -> Contender:
    """(b) The forward pass alone, as often as (a) needs it."""
    network, options = predictor.networks[0], predictor.options
    forward = getattr(network, "logits", network.probabilities)
    batches = []  # a batch of one size, and how many images or tiles of that size there are
    for size, group in itertools.groupby(sorted(images.iterdir()), key=image_size):
        paths = list(group)
        window, count = read_image(paths[0], **predictor.task.image_options), len(paths)
        if options.tile_px:
            window = window[: options.tile_px, : options.tile_px]
            count *= math.prod(len(tile_starts(side, options.tile_px, options.overlap)) for side in size)
        batch = images_to_tensor([window] * min(count, options.batch_size))
        batches.append((batch.to(predictor.device), count))
    megapixels = sum(math.prod(image_size(path)) for path in images.iterdir()) / 1e6

    def predict() -> float:
        for batch, count in batches:
            for first in range(0, count, options.batch_size):
                forward(batch[: count - first])
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()
        return megapixels

    return predict


def draw_images(source: Path, folder: Path, *, count: int) -> Path:
    """A folder with `count` links to the images of another, over and over."""
    folder.mkdir()
    files = sorted(find_images([str(source)], output=folder))
    for place, path in zip(range(count), itertools.cycle(files), strict=False):
        os.symlink(path.resolve(), folder / f"{place:05d}{path.suffix}")
    return folder


def draw_mosaic(source: Path, folder: Path, *, side_px: int) -> Path:
    """A folder with one TIFF, the images of another side by side."""
    folder.mkdir()
    mosaic = np.zeros((side_px, side_px, 3), np.uint8)
    files = itertools.cycle(sorted(find_images([str(source)], output=folder)))
    top = 0
    while top < side_px:
        left = 0
        while left < side_px:
            image = read_image(next(files))
            part = image[: side_px - top, : side_px - left]
            mosaic[top : top + len(part), left : left + part.shape[1]] = part
            left += image.shape[1]
        top += image.shape[0]
    tifffile.imwrite(folder / "mosaic.tif", mosaic, tile=(256, 256), compression="zlib", photometric="rgb")
    return folder


def build(options: argparse.Namespace, workload: str, folder: Path) -> dict[str, Contender]:
    """Both contenders of a workload, with their files in a folder."""
    infer_options = InferOptions(batch_size=options.batch_size, tile_px=options.tile if workload == "tiles" else None)
    predictor = Predictor.load(options.model, device=options.device, precision=options.precision, options=infer_options)
    if workload == "tiles":
        images = draw_mosaic(options.images_in, folder / "in", side_px=options.side)
    else:
        images = draw_images(options.images_in, folder / "in", count=-(-options.images // options.rounds))
    return {
        "a": from_files(predictor, images, folder / "out"),
        "b": bare_passes(predictor, images),
    }


def measure(options: argparse.Namespace, workload: str) -> None:
    """Let the two take turns and print a line each, then the ratio and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        contenders = build(options, workload, Path(folder))
        speeds: dict[str, list[float]] = {key: [] for key in contenders}
        for place in range(options.rounds + 1):
            for key in sorted(contenders, reverse=place % 2 == 0):  # a machine that gets slower favors neither
                started = time.perf_counter()
                megapixels = contenders[key]()
                if place:  # the first round warms up
                    speeds[key].append(megapixels / (time.perf_counter() - started))
    size = f"one image of {options.side} x {options.side}, tiles of {options.tile}"
    what = f"{options.images} images" if workload == "whole" else size
    print(f"{workload}: {what}, batch {options.batch_size}, {options.rounds} rounds")
    names = {"a": "from files to files", "b": "bare forward pass"}
    for key, values in speeds.items():
        print(f"  {key} {names[key]:20} {statistics.median(values):8.3f} megapixels/s (median)")
    ratios = sorted(a / b for a, b in zip(speeds["a"], speeds["b"], strict=True))
    print(f"  a/b {statistics.median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f})")
    for key in names:
        print(f"  {key} peak memory {peak_memory(options, workload, key)}", flush=True)


def peak_memory(options: argparse.Namespace, workload: str, key: str) -> str:
    """Peak of a process that only does this: resident memory, and the GPU's where there is one."""
    command = [sys.executable, "-m", "benchmarks.predict_throughput", str(options.model), str(options.images_in)]
    command += ["--workloads", workload, "--only", key]
    for name in ("images", "side", "tile", "batch_size", "rounds", "device", "precision"):
        if getattr(options, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def run_alone(options: argparse.Namespace) -> None:
    """One round of one contender; prints the peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        build(options, options.workloads[0], Path(folder))[options.only]()
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    print(f"{peak_resident_bytes() / 2**30:.2f} GiB" + (f", {on_gpu / 2**30:.2f} GiB on the GPU" if on_gpu else ""))


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run, a checkpoint or an exported file")
    parser.add_argument("images_in", type=Path, metavar="images", help="a folder of images")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--images", type=int, default=2000, help="of all rounds together")
    parser.add_argument("--side", type=int, default=8192, help="of the large image, in pixels")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, beside one that warms up")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=INFER_PRECISIONS)
    parser.add_argument("--only", choices=("a", "b"), help="one contender alone; prints its peak of memory")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Measure each workload."""
    if options.only:
        return run_alone(options)
    for workload in options.workloads:
        measure(options, workload)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments()))
