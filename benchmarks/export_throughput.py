"""Speed of exported forms beside torch on this processor.

  for to in "onnx" "onnx --int8" "openvino" "openvino --int8"; do python -m segtrain export runs/camvid-1 --to $to; done
  python -m benchmarks.export_throughput runs/camvid-1 runs/camvid-1/model*.onnx runs/camvid-1/model*.xml

Images per second of the networks alone, on validation images that lie in memory at their own size: of the run in
float32 (and with bf16 autocast where the processor computes in bfloat16), and of each exported file. They take turns in
one process, so that a machine whose speed drifts slows all of them; what counts are the ratios to the run in float32,
round by round. All have the same number of threads.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import run_command
from segtrain.commands.export.images import read_prepared, spread
from segtrain.data.splits import read_splits
from segtrain.devices import computes_bf16
from segtrain.inference.load import load_network, load_trained
from segtrain.inference.network import Network

PLAIN = "torch fp32"


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
    width = max(map(len, contenders))
    for title, values in speeds.items():
        ratios = sorted(value / plain for value, plain in zip(values, speeds[PLAIN], strict=True))
        share = f"{statistics.median(ratios):.2f} of {PLAIN} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"  {title:{width}} {statistics.median(values):8.2f} images/s (median)  {share}")


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, whose dataset is there")
    parser.add_argument("exported", nargs="*", type=Path, help="exported files of it, for images of any size")
    parser.add_argument("--images", type=int, default=16, help="validation images of a turn")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--threads", type=int, help="default: what torch takes")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Load everything, then measure."""
    if options.threads:
        torch.set_num_threads(options.threads)
    network = load_trained(options.run, device="cpu", precision="fp32")
    samples = read_splits(network.config.data, seed=network.config.seed, cache=network.config.cache_dir)["val"]
    images = [read_prepared(sample.image, network.task) for sample in spread(samples, options.images)]
    alike = [image for image in images if image.shape == images[0].shape]
    contenders: dict[str, Network] = {PLAIN: network}
    if computes_bf16():
        contenders["torch bf16"] = load_trained(options.run, device="cpu", precision="bf16")
    contenders |= {str(path): load_network(path, device="cpu", trust=True) for path in options.exported}
    shape = "{} x {}".format(*alike[0].shape[-2:])
    print(f"{len(alike)} images of {shape}, batch {options.batch_size}, {torch.get_num_threads()} threads", flush=True)
    measure(contenders, list(torch.cat(alike).split(options.batch_size)), rounds=options.rounds)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments()))
