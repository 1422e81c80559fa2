"""What several test files draw on: a small dataset, and a process that runs a command of the project."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas
import pytest
import torch

from segtrain.command import run_command
from segtrain.config.rules import load_config
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.statistics import read_statistics
from segtrain.training import build
from segtrain.training import command as train
from segtrain.training.loop import fit
from segtrain.training.resume import start_or_resume
from segtrain.training.state import build_state


@pytest.fixture(autouse=True)
def _warnings_of_pillow():
    """Ignored, as segtrain.images.reading has it; pytest sets other filters for each test."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


PROJECT = Path(__file__).resolve().parent.parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what goes to the background, and its children
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Settings that make a training of seconds: they go behind the shipped config.yml as key.sub=value.
SMALL = [
    "model.encoder_name=tu-mobilenetv3_small_050",
    "model.decoder_channels=[16, 16, 8, 8, 8]",
    "transforms.train=[{RandomCrop: {height: 64, width: 64, pad_if_needed: true}}, HorizontalFlip]",
    "data.batch_size=4",
    "data.workers=0",
    "train.epochs=2",
    "train.eval_every_epochs=1",
    "log.wandb.mode=disabled",
    "log.images=2",
]


def draw_sample(folder: Path, name: str, *, seed: int, height: int = 64, width: int = 80, classes: int = 3) -> None:
    """Write images/NAME.png and masks/NAME.png: blocks of `classes` classes, each in its color, and some ignored."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, classes, (-(-height // 16), -(-width // 16)))
    mask = np.kron(cells, np.ones((16, 16), np.int64)).astype(np.uint8)[:height, :width]
    palette = [[40, 40, 200], [40, 200, 40], [200, 40, 40], [200, 200, 40], [40, 200, 200], [200, 40, 200], [9, 9, 9]]
    colors = np.array(palette)
    image = np.clip(colors[mask] + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    mask[:2] = 255
    for kind, array in (("images", cv2.cvtColor(image, cv2.COLOR_RGB2BGR)), ("masks", mask)):
        path = folder / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


def draw_folders(root: Path, *, train: int = 8, val: int = 4, classes: int = 7) -> Path:
    """A dataset in the layout of the shipped config.yml."""
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            draw_sample(root / split, f"{index:03d}", seed=1000 * (split == "val") + index, classes=classes)
    return root


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """8 training and 4 validation images of 64 x 80 pixels, seven classes, as the shipped config.yml expects them."""
    return draw_folders(tmp_path / "street")


def run(command: str, *arguments: object, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess:
    """Run `train.py`, `predict.py` or `-m segtrain` as a user does, in a process of its own, with text output."""
    script = command.split() if command.startswith("-m") else [str(PROJECT / command)]
    # Without wandb's own variables: a test in this process that used wandb left the address of its service in them.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    full = inherited | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment
    line = [sys.executable, *script, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=full, capture_output=True, text=True, timeout=300)


@pytest.fixture
def main(monkeypatch) -> Callable[..., int]:
    """train.py in this process: its exit status."""
    monkeypatch.chdir(PROJECT)

    def main(*layers: str, resume: Path | None = None) -> int:
        return run_command(
            train.main,
            Namespace(layers=list(layers), resume=resume and str(resume), check=False, overfit=None, run_folder=None),
        )

    return main


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run of one epoch; its dataset lies beside it."""
    root = tmp_path_factory.mktemp("trained")
    layers = [*SMALL, "train.epochs=1", f"data.root={draw_folders(root / 'street')}", f"runs_dir={root / 'runs'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        assert (
            run_command(train.main, Namespace(layers=layers, resume=None, check=False, overfit=None, run_folder=None))
            == 0
        )
    return root / "runs" / "street-1"


@pytest.fixture
def kept(trained, tmp_path) -> Path:
    """A copy of that run, to be broken."""
    return Path(shutil.copytree(trained, tmp_path / "kept"))


@pytest.fixture
def prepare(dataset, tmp_path, monkeypatch):
    """Build everything of the small training with `overrides`, as train.py does, up to the first step."""
    (tmp_path / "config.yml").write_text((PROJECT / "config.yml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # where the classes of a user are found
    with ExitStack() as runs:

        def prepare(*overrides: str, resume: Path | None = None) -> SimpleNamespace:
            common = [] if resume else [*SMALL, f"data.root={dataset}", f"runs_dir={tmp_path / 'runs'}"]
            config = load_config([*common, "train.device=cpu", *overrides], resume=resume and str(resume))
            build.seed_everything(config.seed)
            splits, decoder = read_splits(config.data, seed=config.seed), build_decoder(config.data)
            statistics = read_statistics(splits, decoder, names=config.data.class_names, cache=None)
            presence = statistics.presence
            loaders = build_loaders(config, splits, decoder, presence=presence)
            model = build.place_model(config, torch.device("cpu"))
            loss = build.place_loss(config, torch.device("cpu"), statistics=statistics)
            state = build_state(config, model, steps_per_epoch=loaders.train.steps_per_epoch)
            run = runs.enter_context(start_or_resume(config, state, resume=resume and str(resume)))
            return SimpleNamespace(config=config, loaders=loaders, loss=loss, state=state, run=run, folder=run.folder)

        yield prepare


@pytest.fixture
def fitted(prepare):
    """The small training with `overrides`, to its end."""

    def fitted(*overrides: str, resume: Path | None = None) -> SimpleNamespace:
        made = prepare(*overrides, resume=resume)
        fit(made.state, made.loaders, made.loss, made.config.train, made.run)
        made.run.lock.release()  # as the end of a process does
        made.table = pandas.read_csv(made.folder / "metrics.csv")
        return made

    return fitted
