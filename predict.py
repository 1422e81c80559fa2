"""Predict images with a trained model.

  python predict.py runs/street-1 some/images -o out/      a folder (searched through), files, or globs

For each image, at its own size: NAME.png (class indices), NAME_color.png and NAME_overlay.png.
"""

import argparse
import sys
from pathlib import Path

from segtrain.command import run_command


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line to options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder (its best.pt is taken), or a checkpoint file")
    parser.add_argument("inputs", nargs="+", help="images: folders, files or globs")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="default: as in the training")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    """Find the images, load the model, write the predictions."""
    from segtrain.prediction.files import find_images, predict_files

    images = find_images(options.inputs, output=options.output)

    from segtrain.infer import Predictor

    predictor = Predictor.load(options.run, device=options.device, precision=options.precision)
    predict_files(predictor, images, options.output)


if __name__ == "__main__":
    sys.exit(run_command(main, parse_arguments(sys.argv[1:])))
