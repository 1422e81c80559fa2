"""Range test: the loss at a rate that rises from step to step, and the rate to write."""

import math
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from segtrain.config.schema import Config
from segtrain.data.loaders import Loaders
from segtrain.data.splits import read_splits
from segtrain.devices import resolve_device
from segtrain.errors import TrainingError
from segtrain.files import explained_write, write_whole
from segtrain.losses.weighted import WeightedLoss
from segtrain.plots import BLUE, INK, PALE, RED, new_figure, prepare_axes
from segtrain.training import build
from segtrain.training.failures import explained_failures
from segtrain.training.loop import train_step
from segtrain.training.state import TrainState
from segtrain.training.train import prepare

LOWEST, HIGHEST = 1e-6, 10.0
DIVERGED = 4.0  # times the lowest loss so far, as in fastai and Lightning
MEMORY = 0.9  # of the running mean that notices it
SMOOTHING = 0.04  # of all steps: the Gaussian that smooths the curve
PICTURE_FILE, TABLE_FILE = "lr_find.png", "lr_find.csv"


def find_rate(config: Config, layers: Sequence[str], *, steps: int, folder: Path) -> None:
    """Run the test, write picture and table into `folder`, and print what to write into the experiment.

    Raises TrainingError where the loss falls at no rate, after both are written.
    """
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
    build.seed_everything(config.seed)
    device = resolve_device(config.train.device)
    with explained_failures(config):
        splits = read_splits(config.data, seed=config.seed, cache=config.cache_dir)
        if config.data.batch_size == "auto":
            from segtrain.training.auto_batch import fix_batch_size

            config = fix_batch_size(config, splits["train"], device, resume=None)
        train = config.train.model_copy(update={"ema_decay": None})
        config = config.model_copy(update={"schedule": None, "train": train})
        state, loaders, loss, _ = prepare(config, splits, device)
        rates = np.geomspace(LOWEST, HIGHEST, steps)
        losses = measure_losses(config, state, loaders, loss, rates)
    rates = rates[: len(losses)]
    smooth, index = suggest_index(rates, losses, steps=steps)
    table = pandas.DataFrame({"step": range(1, len(rates) + 1), "lr": rates, "loss": losses, "smoothed": smooth})
    write_whole(folder / TABLE_FILE, table.to_csv(index=False, lineterminator="\n"))
    with explained_write(folder / PICTURE_FILE):
        draw_test(table, index, folder / PICTURE_FILE, name=config.name)
    print(
        f"steps    {len(losses)} of {steps}, learning rates {rates[0]:.1e} to {rates[-1]:.1e}; {folder / PICTURE_FILE}"
    )
    if index is None:
        raise TrainingError(
            f"{config.name}: the loss does not fall at any learning rate; look at {folder / PICTURE_FILE}"
        )
    chosen = f"{rates[index]:.2g}"
    print(f"suggest  optimizer.lr: {chosen}  (where the loss falls fastest; now {config.optimizer.lr:g})")
    print(f"train    {shlex.join(['python', 'train.py', *layers, f'optimizer.lr={chosen}'])}")


def measure_losses(
    config: Config, state: TrainState, loaders: Loaders, loss: WeightedLoss, rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The loss of each step of the optimizer at these rates, float64 (N,); fewer than rates where it diverges, which
    ends the test. Rates are the decoder's; other groups have their share of them."""
    shares = [group["lr"] / config.optimizer.lr for group in state.optimizer.param_groups]
    if config.train.freeze_encoder_epochs:
        state.model.hold_encoder(True)
    state.model.train()
    loss.train()
    stream, losses, mean, best = loaders.train.stream(0, 0), [], 0.0, math.inf
    for step, rate in enumerate(tqdm(rates.tolist(), desc="rising rate", leave=False, disable=None), start=1):
        for group, share in zip(state.optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        values = train_step(state, list(islice(stream, config.train.accumulate_steps)), loss, config.train)
        value = float(np.mean([total.item() for total, _ in values]))
        mean = MEMORY * mean + (1 - MEMORY) * value
        corrected = mean / (1 - MEMORY**step)  # for its start at 0
        best = min(best, corrected)
        if not math.isfinite(value) or corrected > DIVERGED * best > 0:
            break
        losses.append(value)
    stream.close()
    if not losses:
        raise TrainingError(f"the loss is {value} at the first step, at a learning rate of {rates[0]:.0e}")
    return np.array(losses)


def suggest_index(
    rates: NDArray[np.float64], losses: NDArray[np.float64], *, steps: int
) -> tuple[NDArray[np.float64], int | None]:
    """The smoothed curve, and the step whose rate to take: where the smoothed loss falls fastest over the logarithm of
    the rate, before its minimum. None where it falls nowhere.

    It is the rule of Lightning's `lr_find` (the steepest gradient), but for the smoothing: a Gaussian does not shift
    the curve towards higher rates, as a running mean does.
    """
    smooth = gaussian_filter1d(losses, max(SMOOTHING * steps, 1.0), mode="nearest")
    end = int(smooth.argmin()) + 1
    if end < 3:
        return smooth, None
    slopes = np.gradient(smooth, np.log(rates))[:end]
    return smooth, int(slopes.argmin()) if slopes.min() < 0 else None


def draw_test(table: pandas.DataFrame, index: int | None, path: Path, *, name: str) -> None:
    """The loss over the learning rate, 1000 x 600 pixels, with the suggestion.

    Args:
        table: columns lr, loss and smoothed.
        index: row of the suggestion.
        path: the PNG file, overwritten.
        name: of the experiment.
    """
    figure = new_figure(10, 6)
    axes = figure.subplots()
    axes.plot(table["lr"], table["loss"], "o", color=PALE, markersize=4, label="loss per step")
    axes.plot(table["lr"], table["smoothed"], color=BLUE, linewidth=2.2, label="smoothed")
    if index is not None:
        row = table.iloc[index]
        axes.axvline(row["lr"], color=INK, linestyle=":", linewidth=1.2)
        axes.plot([row["lr"]], [row["smoothed"]], "*", color=RED, markersize=14, label=f"suggestion: {row['lr']:.2g}")
    axes.set_xscale("log")
    low, high = table["smoothed"].min(), table["smoothed"].iloc[: max(len(table) // 2, 1)].max()
    axes.set_ylim(low - 0.15 * (high - low), high + 0.35 * (high - low))
    prepare_axes(axes, f"Learning-rate range test: {name}")
    axes.set(xlabel="optimizer.lr", ylabel="loss")
    axes.legend(frameon=False)
    figure.savefig(path)
