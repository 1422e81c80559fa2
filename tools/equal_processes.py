"""Table of docs/how-to/cluster.md: how far the weights of several processes, or of accumulated steps, are from those of
one.

  python -m segtrain demo data/street
  python -m tools.equal_processes           # Markdown, about five minutes on two cores

Trains 20 updates each time, with SGD in float32 and a network without BatchNorm, on crops in which some pixels are
ignored, and compares the weights in last.pt.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from segtrain.checkpoint import load_checkpoint

LOSSES = ("CrossEntropyLoss", "DiceLoss", "LovaszLoss")
BATCH = 8
CASES = [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)]  # processes, accumulate_steps
SETTINGS = [
    "data.root=data/street",
    "data.workers=0",
    "model={name: without_batch_norm.Net, encoder_name: null}",
    "optimizer={name: SGD, lr: 0.02, momentum: 0.9}",
    "transforms.train=[{RandomCrop: {height: 64, width: 64}}, HorizontalFlip]",
    "train={epochs: 1, max_steps: 20, precision: fp32, device: cpu}",
    "log={images: 0, progress: false}",
    "log.wandb.mode=disabled",
]
NETWORK = """
from torch import nn

class Net(nn.Module):
    stride, logits_stride = 4, 4

    def __init__(self, in_channels, classes):
        super().__init__()
        layers = [nn.Conv2d(in_channels, 16, 4, 4), nn.GroupNorm(2, 16), nn.ReLU(), nn.Conv2d(16, classes, 3, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        return self.layers(images)
"""


def train(folder: Path, loss: str, processes: int, accumulate: int) -> dict:
    """The weights of one training."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    layers = [
        *SETTINGS,
        f"loss={{{loss}: 1.0}}",
        f"data.batch_size={BATCH // accumulate}",
        f"train.accumulate_steps={accumulate}",
    ]
    command = [sys.executable, *start, "train.py", "--run-folder", str(folder), *layers]
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    if done.returncode:
        raise SystemExit(done.stderr)
    return load_checkpoint(folder / "last.pt")["model"]


def largest_difference(one: dict, other: dict) -> float:
    """The largest difference between two weights."""
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def show(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    heads = ["processes", "`accumulate_steps`", *(f"`{loss}`" for loss in LOSSES)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def main() -> None:
    """Train all and print the table."""
    with tempfile.TemporaryDirectory() as root:
        Path(root, "without_batch_norm.py").write_text(NETWORK, encoding="utf-8")
        found = {
            (loss, *case): train(Path(root, f"{loss}-{case[0]}-{case[1]}"), loss, *case)
            for loss in LOSSES
            for case in CASES
        }
    rows = []
    for case in CASES[1:]:
        differences = (largest_difference(found[loss, *case], found[loss, 1, 1]) for loss in LOSSES)
        rows.append([*map(str, case), *(f"{difference:.0e}" for difference in differences)])
    print(show(rows))


if __name__ == "__main__":
    main()
