"""Training speed from files, beside the limit that the hardware sets and the loop that tutorials teach.

  python -m benchmarks.train_throughput data/camvid                 # about ten minutes on two cores
  python -m benchmarks.train_throughput data/camvid --models Unet/resnet18 --rounds 5 --batch-size 32

For each model, images per second of
  a  segtrain: train_one_epoch as train.py runs it, from files, with the augmentation of config.yml
  b  the bare step on one batch that stays in memory: same model, loss, optimizer, precision and memory layout
  c  the plain loop: float32, NCHW, a DataLoader with Normalize on the CPU, smp's DiceLoss, get_stats every step

The three take turns in one process, so that a machine whose speed drifts slows all of them; what counts are the ratios
of a to b and of a to c, round by round. Peak memory of a and c is that of a process of their own.
"""

import argparse
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import albumentations
import cv2
import segmentation_models_pytorch as smp
import torch
from albumentations.pytorch import ToTensorV2
from torch.utils.data import DataLoader, Dataset

from segtrain.command import run_command
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.transforms import build_transform
from segtrain.data.workers import count_workers
from segtrain.devices import autocast, resolve_device
from segtrain.formats import read_dataset
from segtrain.losses.build import build_loss
from segtrain.losses.weighted import WeightedLoss
from segtrain.training import build
from segtrain.training.loop import LossMeter, train_one_epoch
from segtrain.training.resume import start_run
from segtrain.training.run import Run
from segtrain.training.state import TrainState, build_state

HEIGHT, WIDTH = 352, 480
MODELS = ("Unet/resnet18", "FPN/mobilenet_v2")

Contender = Callable[[int], None]  # trains that many steps


def experiment(
    options: argparse.Namespace,
    model: str,
    folder: str,
    *,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    layers: Sequence[str] = (),
) -> Config:
    """The shipped config.yml on CamVid with crops of that height and width in pixels, and `layers` over it all."""
    architecture, encoder = model.split("/")
    crop = f"{{RandomCrop: {{height: {size[0]}, width: {size[1]}, pad_if_needed: true}}}}"
    base = load_config([])
    others = [item for item in base.transforms.train if "RandomCrop" not in item]
    common = [
        "data.format=camvid",
        f"data.root={options.root}",
        f"data.batch_size={options.batch_size}",
        f"data.workers={options.workers}",
        f"model={{name: {architecture}, encoder_name: {encoder}}}",
        f"transforms.train={[*others, 'CROP']}".replace("'CROP'", crop),
        f"train.device={options.device}",
        f"runs_dir={folder}",
        "schedule=null",
        "log.wandb.mode=disabled",
        "log.progress=false",
    ]
    return load_config([*common, *layers])


class Training(NamedTuple):
    """What a step needs beside its batch, on the device."""

    state: TrainState
    loss: WeightedLoss


def build_training(config: Config, device: torch.device) -> Training:
    """A training that has not begun; its loss has no class weights."""
    model = build.place_model(config, device)
    loss = build_loss(config.loss, mode="multiclass", ignore_index=config.data.ignore_index, class_statistics=None)
    return Training(build_state(config, model, steps_per_epoch=1), loss.to(device))


def open_stream(config: Config, device: torch.device) -> Iterator[dict]:
    """Training batches without end: read from files and augmented."""
    splits, decoder = read_splits(config.data, seed=0), build_decoder(config.data)
    loaders = build_loaders(config, splits, decoder, device_type=device.type)
    return loaders.train.stream(0, 0)


def fit_steps(training: Training, stream: Iterator[dict], run: Run) -> Contender:
    """Steps of train_one_epoch on the batches of a stream."""
    state, loss = training

    def train(steps: int) -> None:
        state.step, state.loss_sums = 0, {}
        train_one_epoch(state, stream, steps, loss, run.config.train, run, LossMeter(state))

    return train


def bare_steps(training: Training, *, batch_size: int, size: tuple[int, int], classes: int) -> Contender:
    """Steps on one batch of noise that is on the device already; `size` is its height and width in pixels."""
    state, loss = training
    blocks = [-(-side // 8) for side in size]
    images = torch.randint(0, 256, (batch_size, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2).to(state.device)
    mask = torch.randint(0, classes, (batch_size, *blocks)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    mask = mask[:, : size[0], : size[1]].contiguous().to(state.device)

    def train(steps: int) -> None:
        state.model.train()
        loss.train()
        for _ in range(steps):
            with autocast(state.device, state.dtype):
                logits = state.callable(images)
            total, _ = loss(logits, mask, 0)
            state.scaler.scale(total).backward()
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.optimizer.zero_grad(set_to_none=True)

    return train


def real_training(config: Config, device: torch.device) -> Contender:
    """(a) The training loop with everything around it: files, augmentation, logging."""
    stream = open_stream(config, device)
    return fit_steps(build_training(config, device), stream, start_run(config))


def bare_step(config: Config, device: torch.device) -> Contender:
    """(b) Forward, loss, backward and optimizer on a batch that is on the device already."""
    count, classes = config.data.batch_size, len(config.data.classes)
    return bare_steps(build_training(config, device), batch_size=count, size=(HEIGHT, WIDTH), classes=classes)


class PlainDataset(Dataset):
    """CamVid as a tutorial reads it: OpenCV, albumentations, Normalize, tensors in float32."""

    def __init__(self, root: Path, transform: albumentations.Compose):
        self.samples = read_dataset("camvid", root, {})["train"]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        sample = self.samples[index]
        image = cv2.cvtColor(cv2.imread(sample.image), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(sample.mask, cv2.IMREAD_GRAYSCALE)
        mask[mask == 11] = 255
        result = self.transform(image=image, mask=mask)
        return result["image"], result["mask"].long()


def plain_loop(config: Config, device: torch.device) -> Contender:
    """(c) The loop of smp's examples, with the same model, augmentation, batch size and number of workers."""
    augmentation = build_transform(config.transforms.train, ignore_index=255).transforms
    transform = albumentations.Compose([*augmentation, albumentations.Normalize(), ToTensorV2()])
    arguments = {"batch_size": config.data.batch_size, "shuffle": True, "drop_last": True}
    workers = count_workers(config.data.workers, device.type)
    pin = device.type == "cuda"
    loader = DataLoader(PlainDataset(config.data.root, transform), num_workers=workers, pin_memory=pin, **arguments)
    name, encoder = config.model.name, config.model.encoder_name
    model = smp.create_model(name, encoder, None, classes=11, **config.model.arguments).to(device).train()
    loss_function = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=255)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)

    def batches() -> Iterator:
        while True:
            yield from loader

    stream = batches()

    def train(steps: int) -> None:
        for images, mask in itertools.islice(stream, steps):
            images, mask = images.to(device), mask.to(device)
            logits = model(images)
            loss = loss_function(logits, mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            prediction = logits.softmax(1).argmax(1)
            smp.metrics.get_stats(prediction, mask, mode="multiclass", num_classes=11, ignore_index=255)
            loss.item()

    return train


CONTENDERS = {"a": real_training, "b": bare_step, "c": plain_loop}


def seconds_of(train: Contender, steps: int, device: torch.device, *, warm_up_steps: int = 1) -> float:
    """Time of `steps` steps, after some that are not counted (the first finds the workers still filling their
    queues)."""
    train(warm_up_steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    train(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(options: argparse.Namespace, model: str) -> None:
    """Let the three take turns and print a line each, then the ratios."""
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        config = experiment(options, model, folder)
        contenders = {key: make(config, device) for key, make in CONTENDERS.items()}
        for train in contenders.values():
            train(2)
        speeds: dict[str, list[float]] = {key: [] for key in contenders}
        for _ in range(options.rounds):
            for key, train in contenders.items():
                images = options.steps * options.batch_size
                speeds[key].append(images / seconds_of(train, options.steps, device))
    turns = f"{options.rounds} rounds of {options.steps} steps"
    print(f"{model}, batch {options.batch_size}, {HEIGHT} x {WIDTH}, {device}, {turns}")
    names = {"a": "segtrain, from files", "b": "bare step, resident batch", "c": "plain loop, from files"}
    for key, values in speeds.items():
        print(f"  {key} {names[key]:26} {statistics.median(values):7.2f} images/s (median)")
    for other in ("b", "c"):
        ratios = sorted(a / b for a, b in zip(speeds["a"], speeds[other], strict=True))
        print(f"  a/{other} {statistics.median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f})")
    for key in ("a", "c"):
        print(f"  {key} peak memory {peak_memory(options, model, key)}", flush=True)


def peak_memory(options: argparse.Namespace, model: str, key: str) -> str:
    """Peak of a process that only does this: of the GPU's memory where there is one, else resident memory."""
    command = [sys.executable, "-m", "benchmarks.train_throughput", str(options.root), "--models", model, "--only", key]
    for name in ("batch_size", "workers", "device"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def run_alone(options: argparse.Namespace) -> None:
    """Train eight steps of one contender and print the peak of memory."""
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        CONTENDERS[options.only](experiment(options, options.models[0], folder), device)(8)
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB on the GPU")
    else:
        print(f"{peak_resident_bytes() / 2**30:.2f} GiB")


def peak_resident_bytes() -> int:
    """The most memory that this process has had. On Linux getrusage would count that of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) * 1024
    except OSError:
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on macOS


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="CamVid: the folder with train, trainannot, val, valannot")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="ARCHITECTURE/ENCODER")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12, help="steps of one turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--workers", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", choices=tuple(CONTENDERS), help="one contender alone; prints its peak of memory")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Measure each model."""
    build.seed_everything(0)
    if options.only:
        return run_alone(options)
    for model in options.models:
        measure(options, model)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments()))
