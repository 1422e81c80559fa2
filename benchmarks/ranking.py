"""Use of a ranking: whether the images that a model is most unsure of are those that it gets wrong.

  python predict.py runs/camvid-1 data/camvid/val -o out --save values --rank
  python -m benchmarks.ranking runs/camvid-1 out

Prints Spearman's rank correlation of entropy and margin with the share of wrong pixels (ignored ones count nowhere)
over the images of the validation split, and that share in the quarter of the images that comes first, in all of them,
and in the quarter that is worst. Images pair with their predictions by name.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from segtrain.checkpoint import BEST, find_checkpoint, load_checkpoint
from segtrain.command import run_command
from segtrain.commands.predict.ranking import RANK_TABLE
from segtrain.data.labels import build_decoder
from segtrain.data.splits import read_splits
from segtrain.inference.description import read_config


def measure(options: argparse.Namespace) -> int:
    """Print the numbers."""
    path = find_checkpoint(options.run, BEST)
    config = read_config(load_checkpoint(path), path)
    decoder = build_decoder(config.data)
    truths = {Path(sample.image).name: sample for sample in read_splits(config.data, seed=config.seed)["val"]}
    with (options.output / RANK_TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    errors = np.array([_share_wrong(options.output / row["image"], truths, decoder) for row in rows])
    for name in ("entropy", "margin"):
        found = np.array([float(row[name]) for row in rows])
        first = errors[np.argsort(-found, kind="stable")][: len(rows) // 4]
        print(f"{name:8} Spearman {spearmanr(found, errors).statistic:.2f}, first quarter {first.mean():.1%} wrong")
    worst = np.sort(errors)[::-1][: len(rows) // 4]
    print(f"{len(rows)} images {errors.mean():.1%} wrong, the worst quarter {worst.mean():.1%}")
    return 0


def _share_wrong(image: Path, truths: dict, decoder) -> float:
    predicted = image.with_suffix(".png")
    prediction = decoder.decode(decoder.read_raw(str(predicted), as_color=decoder.as_color), str(predicted))
    truth = decoder.read(truths[image.name])
    counted = truth != decoder.ignore_index
    return float((prediction != truth)[counted].mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder of the model")
    parser.add_argument("output", type=Path, help="the output folder of predict.py")
    sys.exit(run_command(measure, parser.parse_args()))
