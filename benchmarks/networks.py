"""What each network costs and gives: speed in training and in prediction, and mIoU on the demo set after one training.

  python -m segtrain demo data/street
  python -m benchmarks.networks -o benchmarks/networks.csv               # every network that has no row in the file yet
  python -m benchmarks.networks ENet "DDRNet variant=23-slim" -o benchmarks/networks.csv
  python -m benchmarks.networks --draw docs/pictures/networks.png -o benchmarks/networks.csv  # prints the table too

Speeds are ratios to Unet with resnet18 and the decoder of config.yml, which takes turns with the network in one
process: a step of training on four images of 256 x 256, and a prediction for one image of 512 x 512. The training is
that of config.yml for 3 epochs (120 steps) on crops of 96 x 128, without the Lovasz loss and at half its learning rate,
the same for all; weights are random at the start.
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segtrain.command import run_command
from segtrain.config.networks import GROUPS, NETWORKS
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.models.costs import count_multiply_adds
from segtrain.training import build
from segtrain.training.state import build_state
from segtrain.training.train import train
from tools.network_costs import SIZE, reference_encoder

REFERENCE = "Unet"
COLUMNS = ["network", "parameters", "multiply_adds", "training", "prediction", "miou"]
VARIANTS = ["FCDenseNet variant=56", "DDRNet variant=23"]
SHORT_TRAINING = [
    "train.epochs=3",
    "train.eval_every_epochs=3",
    "loss.LovaszLoss=null",
    "optimizer.lr=1.5e-3",
    "transforms.train=[RandomCrop: {height: 96, width: 128}, HorizontalFlip]",
    "log.images=0",
]
ROUNDS = 3


def experiment(title: str, *layers: str) -> Config:
    """config.yml with the network of a title, like `DDRNet variant=23`, on its reference encoder."""
    name, *arguments = title.split()
    encoder = reference_encoder(name)
    model = [f"name: {name}", *([f"encoder_name: {encoder}"] if encoder else [])]
    model += [argument.replace("=", ": ") for argument in arguments]
    return load_config([f"model={{{', '.join(model)}}}", "log.wandb.mode=disabled", "log.progress=false", *layers])


def training_step(config: Config) -> Callable[[], None]:
    """Forward, loss, backward and optimizer on four images that stay in memory."""
    device = torch.device("cpu")
    model, loss = build.place_model(config, device).train(), build.place_loss(config, device, statistics=None)
    state = build_state(config, model, steps_per_epoch=1)
    images = torch.randint(0, 256, (4, 256, 256, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    mask = torch.randint(0, len(config.data.classes), (4, 256, 256))

    def step() -> None:
        with torch.autocast("cpu", state.dtype, enabled=state.dtype != torch.float32):
            logits = model(images)
        loss(logits, mask, 0)[0].backward()
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)

    return step


def prediction_step(config: Config) -> Callable[[], None]:
    """Logits of one image."""
    model = build.place_model(config, torch.device("cpu")).eval()
    images = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def step() -> None:
        model(images)

    return step


def compare(make: Callable[[Config], Callable[[], None]], title: str) -> float:
    """How many images the network takes in the time in which the reference takes one: the median over the rounds."""
    steps = [make(experiment(each)) for each in (title, REFERENCE)]
    for step in steps:
        step()
    ratios = []
    for _ in range(ROUNDS):
        seconds = []
        for step in steps:
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def score(title: str) -> float:
    """mIoU on the demo set's validation images after the short training."""
    with tempfile.TemporaryDirectory() as folder:
        train(experiment(title, *SHORT_TRAINING, f"runs_dir={folder}"))
        (table,) = Path(folder).glob("*/metrics.csv")
        return float(pandas.read_csv(table)["val/miou"].max())


def measure(title: str) -> dict[str, object]:
    """One row of the file."""
    build.seed_everything(0)
    model = build.place_model(experiment(title), torch.device("cpu"))
    return {
        "network": title,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": count_multiply_adds(model, SIZE),
        "training": round(compare(training_step, title), 3),
        "prediction": round(compare(prediction_step, title), 3),
        "miou": round(score(title), 4),
    }


def draw(rows: pandas.DataFrame, path: Path) -> None:
    """Draw speed in prediction against score, a color a group."""
    figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    groups = rows["network"].map(lambda title: NETWORKS[title.split()[0]].group)
    for number, group in enumerate(GROUPS):
        chosen = rows[groups == group]
        axes.scatter(chosen["prediction"], chosen["miou"], s=28, color=f"C{number}", label=group)
        for row in chosen.itertuples():
            name = row.network.replace("variant=", "").replace("module=", "")
            axes.annotate(name, (row.prediction, row.miou), (4, 3), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="images predicted in the time of one of Unet-resnet18", ylabel="mIoU on the demo set")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], labels=["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path)


def build_table(rows: pandas.DataFrame) -> str:
    """The table of docs/how-to/networks.md: a part a group, the best score first."""
    lines = ["| network | parameters | multiply-adds | training | prediction | mIoU |", "|---" * 6 + "|"]
    groups = rows["network"].map(lambda title: NETWORKS[title.split()[0]].group)
    for group in GROUPS:
        lines.append(f"| **{group}** | | | | | |")
        for row in rows[groups == group].sort_values("miou", ascending=False).itertuples():
            costs = f"{row.parameters / 1e6:.1f} M | {row.multiply_adds / 1e9:.1f} G"
            lines.append(f"| {row.network} | {costs} | {row.training:.2f} | {row.prediction:.2f} | {row.miou:.3f} |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names, with arguments behind them; default: all")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CSV", help="a row a network is added")
    parser.add_argument("--draw", type=Path, metavar="PNG", help="draw what the file holds and print the table")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Measure what the file lacks, or show what it holds."""
    if options.draw:
        rows = pandas.read_csv(options.output)
        draw(rows, options.draw)
        print(build_table(rows))
        return
    if not options.output.exists():
        options.output.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    done = set(pandas.read_csv(options.output)["network"])
    for title in options.networks or [*NETWORKS, *VARIANTS]:
        if title not in done:
            row = measure(title)
            print(row, flush=True)
            with options.output.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


if __name__ == "__main__":
    raise SystemExit(run_command(main, parse_arguments()))
