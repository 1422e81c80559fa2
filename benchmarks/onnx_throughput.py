"""Speed of exported forms beside torch on this processor.

  python -m benchmarks.onnx_throughput runs/camvid-1                       # the run's own validation images
  python -m benchmarks.onnx_throughput runs/camvid-1 --images 40 --rounds 7 --batch-size 4 --threads 8

Images per second of the network alone, on images that lie in memory at their own size, as
  torch        float32, as the run was trained (channels_last or not)
  torch bf16   the same with autocast, where the processor computes in bfloat16
  onnx, onnx int8, openvino, openvino int8: exported here, in ONNX Runtime and OpenVINO where they are installed

They take turns in one process, so that a machine whose speed drifts slows all of them; what counts are the ratios to
`torch`, round by round. All have the same number of threads.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import run_command
from segtrain.data.sample import SampleTable
from segtrain.data.splits import read_splits
from segtrain.export.images import calibration_images, read_prepared, spread
from segtrain.export.options import ExportOptions
from segtrain.infer.load import load_trained
from segtrain.infer.network import Network, TorchNetwork
from segtrain.optim import computes_bf16


def exported_forms(network: TorchNetwork, train: SampleTable, folder: Path) -> Iterator[tuple[str, Network]]:
    """What can be exported here, float32 and int8."""
    for name, needed in (("onnx", ("onnxscript", "onnxruntime")), ("openvino", ("onnxscript", "openvino"))):
        if not all(importlib.util.find_spec(library) for library in needed):
            print(f"{name}: not installed, left out")
            continue
        module = importlib.import_module(f"segtrain.export.{name}")
        for precision in ("fp32", "int8"):
            options = ExportOptions(
                source=folder,
                labels=False,
                precision=precision,
                size=None,
                calibration=calibration_images(train, network.task, None),
            )
            path = folder / f"{precision}-{module.NAME}"
            module.export(network, path, options)
            title = name if precision == "fp32" else f"{name} {precision}"
            yield title, module.load(path, device=network.device, precision=None)


def seconds_of(network: Network, batches: list[Tensor]) -> float:
    """Time of all batches."""
    started = time.perf_counter()
    for batch in batches:
        network.probabilities(batch)
    return time.perf_counter() - started


def measure(contenders: dict[str, Network], batches: list[Tensor], *, rounds: int) -> None:
    """Let them take turns and print a line each."""
    for network in contenders.values():
        seconds_of(network, batches[:2])
    images = sum(len(batch) for batch in batches)
    speeds: dict[str, list[float]] = {title: [] for title in contenders}
    for _ in range(rounds):
        for title, network in contenders.items():
            speeds[title].append(images / seconds_of(network, batches))
    for title, values in speeds.items():
        ratios = sorted(value / plain for value, plain in zip(values, speeds["torch"], strict=True))
        turn = f"{statistics.median(values):8.2f} images/s (median)"
        print(
            f"  {title:14} {turn}  {statistics.median(ratios):.2f} of torch (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, whose data set is there")
    parser.add_argument("--images", type=int, default=16, help="validation images of a turn")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--threads", type=int, help="default: what torch takes")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Export what can be exported, then measure."""
    if options.threads:
        torch.set_num_threads(options.threads)
    network = load_trained(options.run, device="cpu", precision="fp32")
    splits = read_splits(network.config.data, seed=network.config.seed, cache=network.config.cache_dir)
    images = [read_prepared(sample.image, network.task) for sample in spread(splits["val"], options.images)]
    alike = [image for image in images if image.shape == images[0].shape]
    batches = list(torch.cat(alike).split(options.batch_size))
    with tempfile.TemporaryDirectory() as folder:
        contenders: dict[str, Network] = {"torch": network}
        if computes_bf16():
            contenders["torch bf16"] = load_trained(options.run, device="cpu", precision="bf16")
        contenders |= exported_forms(network, splits["train"], Path(folder))
        shape = "{} x {}".format(*alike[0].shape[-2:])
        print(f"{len(alike)} images of {shape}, batch {options.batch_size}, {torch.get_num_threads()} threads")
        measure(contenders, batches, rounds=options.rounds)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments()))
