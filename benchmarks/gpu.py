"""Speed on one GPU: training and prediction, with and without bf16, channels_last and torch.compile; exported networks.

  python -m benchmarks.gpu data/camvid -o gpu.json                                 # at most eight minutes
  python -m benchmarks.gpu data/camvid -o gpu.json --networks Unet/resnet34 --settings bf16 channels_last none
  python -m benchmarks.gpu data/camvid -o cpu.json --device cpu --tiny             # tries every part in seconds

The root holds CamVid: train, trainannot, val, valannot; the images may be JPEG. Weights are random, so it needs no
network connection. The table and the JSON file have a row for each network and

  bare step     training on one batch that stays on the device
  fit           train_one_epoch as train.py runs it, from files, with the augmentation of config.yml
  forward       probabilities of one batch that stays on the device, in bf16 and channels_last
  whole         the same network in a Predictor: images from memory at their own size, to labels
  tiled         likewise: square images of --side pixels, in tiles of --tile pixels
  ONNX Runtime  the exported network on a batch that stays on the device; in fp16 on a GPU, else in fp32
  TensorRT      likewise, as a provider of ONNX Runtime

The rows of one network and setting are measured in turns in one process. Within a turn nothing waits for the device but
what segtrain itself makes wait. Speeds are medians over the rounds. Ratios compare pixels per second, round by round:
`fit` to the bare step, the others to the forward pass; pixels of a tiled image that lie in several tiles count once.
GiB is the peak of the memory that torch allocated on the GPU; there is none for ONNX Runtime, which allocates its own.
`first s` is the time of the first step in seconds, compilation included. EoMT is trained with cross-entropy and Dice
like the others, because its own loss, MaskMatchingLoss, waits for the device in each step.

What fails is a row with the reason. A measurement is skipped, and its rows say so, if --minutes are over, or would be
by the time of the slowest one of its kind so far. Importing the libraries takes some seconds more.
"""

import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.environment import describe_environment
from benchmarks.runtimes import RUNTIMES, explain_missing, runtime_passes, write_onnx
from benchmarks.train_throughput import (
    Contender,
    bare_steps,
    build_training,
    experiment,
    fit_steps,
    open_stream,
    seconds_of,
)
from segtrain.command import Stopped, parse_output, run_command
from segtrain.config.schema import Config
from segtrain.data.dataset import images_to_tensor
from segtrain.data.splits import read_splits
from segtrain.data.workers import count_workers
from segtrain.devices import resolve_device, resolve_precision
from segtrain.errors import DataError
from segtrain.files import replacing
from segtrain.images.reading import read_image
from segtrain.inference.network import TorchNetwork
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.models.model import build_model
from segtrain.training import build
from segtrain.training.resume import start_run

SWITCHES = ("bf16", "channels_last", "compile")
# In the order in which they are measured, the most important first.
SETTINGS = ("bf16+channels_last", "bf16+channels_last+compile", "none", "bf16", "channels_last")
TRAINING, PREDICTION = ("bare step", "fit"), ("forward", "whole", "tiled")

# Options that are not given: with --tiny the second.
DEFAULTS: dict[str, tuple[Any, Any]] = {
    "networks": (
        ["Unet/resnet34", "DeepLabV3Plus/tu-resnet50", "Segformer/mit_b2", "EoMT/tu-vit_small_patch16_dinov3"],
        [f"{name}/tu-mobilenetv3_small_050" for name in ("Unet", "DeepLabV3Plus", "Segformer")] + ["EoMT/tu-test_vit"],
    ),
    "batch_size": (16, 2),
    "crop": ([352, 480], [64, 64]),
    "side": (2048, 96),
    "tile": (512, 64),
    "rounds": (3, 1),
    "turn_seconds": (1.5, 0.0),
    "workers": ("auto", 0),
}


class Turn(NamedTuple):
    """One of those that take turns: `work` does that many steps, each of `images` images of `size` (H, W). Before each
    turn `warm_up_steps` are not counted."""

    work: Contender
    images: int
    size: tuple[int, int]
    warm_up_steps: int = 1


@dataclass(frozen=True)
class Bench:
    """What all measurements share: the options, the device, a folder for files, the stream of training batches, how
    many of them may lie ready, and an image to predict, HWC uint8 RGB, 0..255."""

    options: argparse.Namespace
    device: torch.device
    folder: Path
    stream: Iterator[dict]
    ready_batches: int
    image: np.ndarray


class Job(NamedTuple):
    """What is measured together: a row for each of `parts`, with the Turns that `make` builds. The first of those is
    what the others are compared with."""

    parts: tuple[str, ...]
    network: str
    settings: str
    make: Callable[[Bench, "Job", ExitStack], dict[str, Turn]]
    reason: str = ""  # why it cannot be measured, known in advance

    @property
    def kind(self) -> tuple[tuple[str, ...], bool]:
        """Jobs of one kind take about as long as one another."""
        return self.parts, "compile" in self.settings


def configure(options: argparse.Namespace, folder: Path, network: str, settings: str = SETTINGS[0]) -> Config:
    """The experiment of a network, like `Unet/resnet34`, with some of SWITCHES, joined by +."""
    chosen = settings.split("+")
    layers = [
        f"train.precision={'bf16' if 'bf16' in chosen else 'fp32'}",
        f"train.channels_last={'channels_last' in chosen}",
        f"train.compile={'compile' in chosen}",
        "optimizer.lr=1e-5",  # half of the steps learn noise, and no loss may become infinite
    ]
    return experiment(options, network, str(folder), size=tuple(options.crop), layers=layers)


def training_turns(bench: Bench, job: Job, stack: ExitStack) -> dict[str, Turn]:
    """The bare step and the fit, of one model and optimizer."""
    options, size = bench.options, tuple(bench.options.crop)
    config = configure(options, bench.folder, job.network, job.settings)
    training = build_training(config, bench.device)
    run = stack.enter_context(start_run(config))
    bare = bare_steps(training, batch_size=options.batch_size, size=size, classes=len(config.data.classes))
    fit = fit_steps(training, bench.stream, run)
    warm_up_steps = bench.ready_batches + 1  # those were read while another had its turn
    return {
        name: Turn(work, options.batch_size, size, warm_up_steps)
        for name, work in zip(TRAINING, (bare, fit), strict=True)
    }


def build_network(config: Config, device: torch.device, precision: str) -> TorchNetwork:
    """The network of an experiment with random weights, to compute in bf16 or fp32."""
    model = build_model(config.model, channels=config.data.channels, outputs=len(config.data.classes), pretrained=False)
    return TorchNetwork(model, config, device=device, dtype=resolve_precision(precision, device))


def forward_turn(network: TorchNetwork, images: list[np.ndarray]) -> Turn:
    """Probabilities of images that are on the device already."""
    batch = images_to_tensor(images).to(network.device)
    return Turn(repeated(lambda: network.probabilities(batch)), len(batch), images[0].shape[:2])


def prediction_turns(bench: Bench, job: Job, _: ExitStack) -> dict[str, Turn]:
    """The forward pass, and the Predictor on whole images and in tiles."""
    count, side = bench.options.batch_size, bench.options.side
    network = build_network(configure(bench.options, bench.folder, job.network), bench.device, "bf16")
    whole = Predictor([network], InferOptions(batch_size=count))
    tiled = Predictor([network], InferOptions(batch_size=count, tile_px=bench.options.tile))
    images, size = [bench.image] * count, bench.image.shape[:2]
    large = np.tile(bench.image, (*(-(-side // length) for length in size), 1))[:side, :side]
    return {
        "forward": forward_turn(network, images),
        "whole": Turn(repeated(lambda: whole.label_batch(images, dtype=torch.uint8)), count, size),
        "tiled": Turn(repeated(lambda: tiled.label_batch([large], dtype=torch.uint8)), 1, (side, side)),
    }


def runtime_turns(bench: Bench, job: Job, _: ExitStack) -> dict[str, Turn]:
    """The forward pass of torch, and that of the exported network in a runtime."""
    config = configure(bench.options, bench.folder, job.network)
    images, size = [bench.image] * bench.options.batch_size, bench.image.shape[:2]
    path = bench.folder / f"{job.network.replace('/', '-')}.onnx"
    if not path.exists():
        precision = job.settings.removesuffix(" ONNX")
        write_onnx(build_network(config, torch.device("cpu"), "fp32"), path, precision=precision, size=size)
    (runtime,) = job.parts
    batch = images_to_tensor(images).contiguous().to(bench.device)
    return {
        "forward": forward_turn(build_network(config, bench.device, "bf16"), images),
        runtime: Turn(runtime_passes(path, runtime, batch), len(batch), size),
    }


def repeated(step: Callable[[], object]) -> Contender:
    """That many times the same step."""

    def work(steps: int) -> None:
        for _ in range(steps):
            step()

    return work


def plan(options: argparse.Namespace, device: torch.device) -> list[Job]:
    """All jobs, the most important first."""
    training, runtimes = [], []
    for settings in options.settings:
        reason = "skipped: --tiny compiles nothing" if options.tiny and "compile" in settings else ""
        training.append([Job(TRAINING, network, settings, training_turns, reason) for network in options.networks])
    prediction = [Job(PREDICTION, network, SETTINGS[0], prediction_turns) for network in options.networks]
    for runtime in RUNTIMES:
        missing = explain_missing(runtime, device)
        settings = f"{'fp16' if device.type == 'cuda' else 'fp32'} ONNX"
        for place, network in enumerate(["all"] if missing else options.networks):
            reason = "skipped: --tiny exports one network" if options.tiny and place else missing
            runtimes.append(Job((runtime,), network, settings, runtime_turns, reason))
    order = [training[0], prediction, *training[1:2], runtimes, *training[2:]]
    return [job for jobs in order for job in jobs]


def take_turns(bench: Bench, job: Job) -> list[dict[str, Any]]:
    """Measure a job: its rows."""
    device, options = bench.device, bench.options
    with ExitStack() as stack:
        turns = job.make(bench, job, stack)
        first = {name: seconds_of(turn.work, 1, device, warm_up_steps=0) for name, turn in turns.items()}
        steps = {name: count_steps(turn, options.turn_seconds, device) for name, turn in turns.items()}
        speeds: dict[str, list[float]] = {name: [] for name in turns}
        peaks = dict.fromkeys(turns, 0)
        for _ in range(options.rounds):
            for name, turn in turns.items():
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                seconds = seconds_of(turn.work, steps[name], device, warm_up_steps=turn.warm_up_steps)
                speeds[name].append(steps[name] * turn.images / seconds)
                if device.type == "cuda":
                    peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated(device))
    reference = next(iter(turns))
    rows = []
    for name in job.parts:
        turn, share = turns[name], math.prod(turns[name].size) / math.prod(turns[reference].size)
        ratios = sorted(share * a / b for a, b in zip(speeds[name], speeds[reference], strict=True))
        row = {"what": name, "images_per_second": statistics.median(speeds[name]), "ratio": None, "ratio_range": None}
        if name != reference:
            row |= {"ratio": statistics.median(ratios), "ratio_range": [ratios[0], ratios[-1]]}
        row |= {
            "peak_gib": peaks[name] / 2**30 if peaks[name] and name not in RUNTIMES else None,
            "first_step_seconds": first[name],
            "steps": steps[name],
            "batch_size": turn.images,
            "height_width": list(turn.size),
        }
        rows.append(row)
    return rows


def count_steps(turn: Turn, turn_seconds: float, device: torch.device) -> int:
    """How many steps make a turn of about so many seconds; 0 is one step."""
    if not turn_seconds:
        return 1
    each = seconds_of(turn.work, 10, device, warm_up_steps=turn.warm_up_steps) / 10
    return max(math.ceil(turn_seconds / each), 3)


def run_job(bench: Bench, job: Job) -> list[dict[str, Any]]:
    """Its rows, measured or with the reason why not. Raises what the user has to put right first: unreadable files."""
    rows = [{"what": part} for part in job.parts]
    reason, started = job.reason, time.monotonic()
    if not reason:
        try:
            rows = take_turns(bench, job)
        except (DataError, Stopped):
            raise
        except Exception as error:  # out of memory, or of a compiler or a runtime
            reason = f"failed: {type(error).__name__}: {' '.join(str(error).split())}"[:200]
        if "compile" in job.settings:
            torch.compiler.reset()  # after eight variants of one function torch would compile no more
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
    common = {"network": job.network, "settings": job.settings, "reason": reason}
    return [row | common | {"job_seconds": round(time.monotonic() - started, 1)} for row in rows]


def show(rows: list[dict[str, Any]]) -> str:
    """Lines of the table: one for each row of a job, or one for all where there is a reason."""
    lines, first = [], rows[0]
    if first["reason"]:
        what = ", ".join(row["what"] for row in rows)
        return f"{what:21} {first['network']:38} {first['settings']:26}  {first['reason']}"
    for row in rows:
        ratio = "" if row["ratio"] is None else "{:.3f} ({:.3f} to {:.3f})".format(row["ratio"], *row["ratio_range"])
        peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.2f}"
        line = f"{row['what']:21} {row['network']:38} {row['settings']:26}  {row['images_per_second']:8.1f}"
        lines.append(f"{line}  {ratio:22}  {peak:>6}  {row['first_step_seconds']:7.2f}")
    return "\n".join(lines)


def open_bench(options: argparse.Namespace, device: torch.device, folder: Path) -> Bench:
    """Read the lists of the dataset and one image of it. Raises DataError where there are none."""
    config = configure(options, folder, options.networks[0])
    image = read_image(read_splits(config.data, seed=0)["val"][0].image)
    ready = 4 * count_workers(config.data.workers, device.type)  # what build_loader lets each worker read ahead
    return Bench(options, device, folder, open_stream(config, device), ready, image)


def parse_settings(text: str) -> str:
    """Switches joined by +, in the order of SWITCHES, or none."""
    chosen = [] if text == "none" else text.split("+")
    if unknown := sorted({*chosen} - {*SWITCHES}):
        raise argparse.ArgumentTypeError(f"{unknown[0]}: write none, or some of {', '.join(SWITCHES)} joined by +")
    return "+".join(name for name in SWITCHES if name in chosen) or "none"


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="CamVid: the folder with train, trainannot, val, valannot")
    parser.add_argument("-o", "--output", type=parse_output, required=True, metavar="JSON", help="written row by row")
    parser.add_argument("--networks", nargs="+", metavar="ARCHITECTURE/ENCODER")
    parser.add_argument("--settings", nargs="+", type=parse_settings, default=SETTINGS, help="bf16+compile, none, ..")
    parser.add_argument("--minutes", type=float, default=8.0, help="what is left after them is skipped")
    parser.add_argument("--batch-size", type=int, help="of training, prediction and runtimes (16)")
    parser.add_argument("--crop", nargs=2, type=int, metavar=("H", "W"), help="pixels of a training image (352 480)")
    parser.add_argument("--side", type=int, help="pixels of the image that is predicted in tiles (2048)")
    parser.add_argument("--tile", type=int, help="pixels of a tile's side (512)")
    parser.add_argument("--rounds", type=int, help="turns of each (3)")
    parser.add_argument("--turn-seconds", type=float, help="length of a turn, about (1.5)")
    parser.add_argument("--workers", help="reading processes (auto)")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="small networks, images and turns, to see that all of it runs; exports one network and compiles none, "
        "which takes minutes on a CPU",
    )
    options = parser.parse_args()
    for name, (usual, tiny) in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, tiny if options.tiny else usual)
    return options


def main(options: argparse.Namespace) -> None:
    """Measure job after job until the time is up; print the table and write the file."""
    build.seed_everything(0)
    device, started = resolve_device(options.device), time.monotonic()
    report: dict[str, Any] = {
        "environment": describe_environment(device),
        "options": {name: value for name, value in vars(options).items() if name not in ("root", "output")},
        "rows": [],
    }
    longest: dict[Any, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = open_bench(options, device, Path(folder))
        print(", ".join(f"{name} {value}" for name, value in report["environment"].items() if value is not None))
        print(f"{'what':21} {'network':38} {'settings':26}  images/s  {'ratio':22}     GiB  first s", flush=True)
        for job in plan(options, device):
            begun = time.monotonic()
            if not job.reason and begun - started + longest.get(job.kind, 0.0) > 60 * options.minutes:
                job = job._replace(reason=f"skipped: too little is left of the {options.minutes:g} minutes")
            rows = run_job(bench, job)
            longest[job.kind] = max(longest.get(job.kind, 0.0), time.monotonic() - begun)
            print(show(rows), flush=True)
            report["rows"] += rows
            report["seconds"] = round(time.monotonic() - started, 1)
            with replacing(options.output) as temporary:
                temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments()))
