"""What test-time settings, ensembles and exported forms cost and give: one table of mIoU, speed and memory.

  python -m benchmarks.inference_table runs/camvid-1 runs/camvid-2 -o table/
  python -m benchmarks.inference_table runs/camvid-1 runs/camvid-2 -o table/ --rows plain,onnx --rounds 3

Each row is `python -m segtrain evaluate` on the validation split in a process of its own: its mIoU, the images a second
from files to scores, and the peak of its memory. The rows take turns, round by round, so that a machine whose speed
drifts slows all of them; speed is the median over the rounds, also as a ratio to the first row. The last run named is
the first one's partner in the ensemble. ONNX files are exported anew, to the output folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pandas

from segtrain.command import run_command
from segtrain.errors import ConfigError, TrainingError

ONNX = {"onnx": [], "onnx fp16": ["--fp16"], "onnx int8": ["--int8"]}


def rows_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Name of a row -> arguments of evaluate."""
    first = str(options.runs[0])
    rows = {
        "plain": [first],
        "flip": [first, "--flip"],
        "scales": [first, "--scales", "0.75,1,1.25"],
        "scales + flip": [first, "--scales", "0.75,1,1.25", "--flip"],
        "tiles": [first, "--tile", str(options.tile)],
        "second model": [str(options.runs[-1])],
        "ensemble": [*map(str, options.runs)],
        "ensemble + flip": [*map(str, options.runs), "--flip"],
    }
    for name in ONNX:
        rows[name] = [str(onnx_file(options, name)), "--config", first]
    chosen = options.rows.split(",") if options.rows else list(rows)
    if unknown := sorted(set(chosen) - rows.keys()):
        raise ConfigError(f"--rows {','.join(unknown)}: there is {', '.join(rows)}")
    return {name: [*rows[name], "--batch-size", str(options.batch_size)] for name in chosen}


def onnx_file(options: argparse.Namespace, name: str) -> Path:
    """Where the ONNX file of a row lies."""
    return options.output / f"{name.replace(' ', '_')}.onnx"


def run_segtrain(*arguments: str) -> tuple[str, int]:
    """Run a command of segtrain: what it printed, and the peak of its memory in bytes."""
    command = [sys.executable, "-m", "segtrain", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise TrainingError(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return text, usage.ru_maxrss * 1024


def measure(name: str, arguments: list[str], folder: Path) -> dict[str, float]:
    """mIoU, images per second and peak memory of a row."""
    _, peak_bytes = run_segtrain("evaluate", *arguments, "-o", str(folder))
    values = pandas.read_csv(folder / "evaluation.csv", index_col="name")["value"]
    print(f"{name:16} {values['images_per_second']:.2f} images/s", flush=True)
    return {"miou": values["miou"], "speed": values["images_per_second"], "peak_bytes": peak_bytes}


def main(options: argparse.Namespace) -> None:
    """Export, measure every row in turns, print the table as Markdown."""
    rows = rows_of(options)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in ONNX.keys() & rows.keys():
        path = onnx_file(options, name)
        print(run_segtrain("export", str(options.runs[0]), "--to", "onnx", "-o", str(path), *ONNX[name])[0], flush=True)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for _ in range(options.rounds):
        for name, arguments in rows.items():
            measured[name].append(measure(name, arguments, options.output / name.replace(" ", "_")))
    first = next(iter(rows))
    print("\n| | mIoU | images/s | ratio | peak memory |\n|---|---|---|---|---|")
    for name, rounds in measured.items():
        ratios = [mine["speed"] / base["speed"] for mine, base in zip(rounds, measured[first], strict=True)]
        speed, ratio = statistics.median(item["speed"] for item in rounds), statistics.median(ratios)
        peak = max(item["peak_bytes"] for item in rounds) / 2**30
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
        print(f"| {name} | {rounds[0]['miou']:.4f} | {speed:.2f} | {ratio:.2f}{spread} | {peak:.2f} GiB |")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of one dataset; all together are the ensemble")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for exports and evaluations")
    parser.add_argument("--rows", help="names of rows, with commas; default: all")
    parser.add_argument("--rounds", type=int, default=1, help="how often every row is measured (1)")
    parser.add_argument("--tile", type=int, default=256, help="side of the tiles in pixels (256)")
    parser.add_argument("--batch-size", type=int, default=4, help="images in a batch (4)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments(sys.argv[1:])))
