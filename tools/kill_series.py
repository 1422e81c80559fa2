"""Kills of random processes at random times, and whether the training that goes on is the one that was not disturbed.

  python -m segtrain demo data/street
  python -m tools.kill_series --kills 50          # about half an hour on two cores

torchrun trains with two processes and starts both again when one is gone. At the end the weights must be those of a
training without a kill, bit for bit, and metrics.csv must have the same rows.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas
import torch

from segtrain.checkpoint import load_checkpoint

LONGEST_WAIT_SECONDS = 30.0  # from one kill to the next
TIMES = ["images_per_second", "data_wait", "train_seconds", "val_seconds"]
SETTINGS = [
    "data.root=data/street",
    "data.workers=1",
    "model={encoder_name: tu-mobilenetv3_small_050, decoder_channels: [16, 16, 8, 8, 8]}",
    "transforms.train=[{RandomCrop: {height: 64, width: 64}}, HorizontalFlip]",
    "train={device: cpu, save_every_minutes: 0.05, eval_every_epochs: 5, ema_decay: 0.9}",
    "log={images: 0, progress: false}",
    "log.wandb.mode=disabled",
]


def start(folder: Path, epochs: int, restarts: int) -> subprocess.Popen:
    """torchrun with two processes."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["--max-restarts", str(restarts), "train.py", "--run-folder", str(folder), *SETTINGS]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*line, f"train.epochs={epochs}"], env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet)


def find_children(process: subprocess.Popen) -> list[int]:
    """The two processes of a torchrun that runs."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill_at_random(process: subprocess.Popen, count: int) -> int:
    """Kill one of the processes again and again; how often, until the training ended."""
    for number in range(count):
        time.sleep(random.uniform(0, LONGEST_WAIT_SECONDS))
        if process.poll() is not None:
            return number
        if children := find_children(process):
            os.kill(random.choice(children), signal.SIGKILL)
    return count


def main() -> int:
    """Train twice and compare; the exit status is 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as root:
        calm, killed = Path(root, "calm"), Path(root, "killed")
        if start(calm, options.epochs, 0).wait():
            raise SystemExit("the training without kills failed")
        process = start(killed, options.epochs, options.kills)
        kills = kill_at_random(process, options.kills)
        status = process.wait()
        one, other = (load_checkpoint(folder / "last.pt") for folder in (calm, killed))
        tables = [pandas.read_csv(folder / "metrics.csv").drop(columns=TIMES) for folder in (calm, killed)]
        same = {
            kind: all(torch.equal(one[kind][name], other[kind][name]) for name in one[kind])
            for kind in ("model", "ema")
        }
    same["metrics.csv"] = tables[0].equals(tables[1])
    equal = ", ".join(f"{name} {'the same' if value else 'DIFFERENT'}" for name, value in same.items())
    print(f"{kills} kills, exit status {status}: {equal}")
    return 0 if status == 0 and all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
