"""Speed of two processes of one core each beside one process with two threads.

  python -m segtrain demo data/street
  python -m benchmarks.processes --rounds 3          # about six minutes on two cores

Both train the experiment of config.yml, with images in memory and a batch of 8 between them; they take turns, a
training of two epochs each. What counts are the images per second of the second epoch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas

from segtrain.command import run_command
from segtrain.errors import TrainingError

SETTINGS = ["data.cache=ram", "data.batch_size=8", "train.epochs=2", "train.eval_every_epochs=2", "train.device=cpu"]
SETTINGS += ["log.images=0", "log.progress=false", "log.wandb.mode=disabled"]


def measure(processes: int, threads: int, layers: Sequence[str]) -> float:
    """Images per second of a training."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *start, "train.py", *SETTINGS, *layers, "--run-folder", f"{folder}/run"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise TrainingError(done.stderr)
        return float(pandas.read_csv(Path(folder, "run", "metrics.csv"))["images_per_second"].iloc[-1])


def main(options: argparse.Namespace) -> None:
    """Let the two take turns."""
    speeds = [(measure(1, 2, options.layers), measure(2, 1, options.layers)) for _ in range(options.rounds)]
    one, two = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratios = sorted(pair[1] / pair[0] for pair in speeds)
    print(f"one process, two threads: {one:.2f} images/s (median); two processes, one thread each: {two:.2f}")
    print(f"ratio {statistics.median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="*", metavar="experiment.yml | key.sub=value")
    parser.add_argument("--rounds", type=int, default=3)
    raise SystemExit(run_command(main, parser.parse_args()))
