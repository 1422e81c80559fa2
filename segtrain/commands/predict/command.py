"""Predict images, videos and large TIFFs with a trained model, or with several as one.

python predict.py runs/street-1 some/images -o out/                    a folder (searched through), files, or globs
python predict.py runs/street-1 runs/street-2 a.jpg -o out/            an ensemble: probabilities are averaged
python predict.py model.onnx some/images -o out/ --save index,coco     an exported model; other files
python predict.py runs/street-1 clip.mp4 -o out/                       clip_overlay.mp4
"""

import argparse
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from segtrain.command import parse_output, tell
from segtrain.commands.predict.outputs import DEFAULT, KINDS, Wanted, parse_kinds, require_output
from segtrain.errors import ConfigError, DataError, name_some
from segtrain.inference.model_files import split_models
from segtrain.inference.options import add_infer_arguments, read_infer_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    width = max(map(len, KINDS))
    saves = "\n".join(f"  {kind:{width}} {text}" for kind, text in KINDS.items())
    parser.usage = "%(prog)s MODEL [MODEL ...] INPUT [INPUT ...] -o OUTPUT [flags]"
    parser.epilog = f"what --save writes below the output folder, beside manifest.csv:\n{saves}"
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="MODEL INPUT",
        help="one or more run folders (their best.pt is taken), checkpoints or exported files; then images and videos",
    )
    parser.add_argument("-o", "--output", type=parse_output, required=True, help="folder to write to")
    parser.add_argument(
        "--save",
        type=parse_kinds,
        metavar="KINDS",
        help=f"what to write, with commas; default: {','.join(DEFAULT)}, and nothing for frames of videos",
    )
    parser.add_argument(
        "--rle-sample",
        type=Path,
        metavar="FILE",
        help="sample submission: rle.csv has its rows, order, header and delimiter",
    )
    parser.add_argument(
        "--video", type=_read_fps, metavar="FPS", help="folders of images are frames: write a video of each"
    )
    parser.add_argument(
        "--rank",
        action="store_true",
        help="what to label next: rank.csv, images from the most uncertain on, and rank.jpg, the first 12",
    )
    parser.add_argument(
        "--image-url",
        metavar="PREFIX",
        help="for --save labelstudio: what stands before the names of images; default: Label Studio's local files",
    )
    _add_shaping_arguments(parser)
    add_infer_arguments(parser)


def _add_shaping_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-area",
        type=_read_area,
        default=0,
        metavar="PX",
        help="regions of fewer pixels become part of what surrounds them, in all files",
    )
    parser.add_argument(
        "--simplify",
        type=_read_tolerance,
        default=0.0,
        metavar="PX",
        help="outlines with fewer corners, moved by at most so many pixels; neighbours stay neighbours",
    )


def _read_area(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of pixels, like 50")


def _read_tolerance(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (pixels := float(text)) <= 1000:
            return pixels
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of pixels from 0 to 1000, like 1.5")


def _read_fps(text: str) -> float:
    with suppress(ValueError):
        if 0 < (fps := float(text)) <= 1000:
            return fps
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of frames per second, like 25")


def _version_of(model: str) -> str:
    """A run folder by its name, a file with that of its folder."""
    path = Path(model).resolve()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def main(options: argparse.Namespace) -> int:
    """Find the images, load the models, write the predictions. 1 where some images failed, 2 where all did."""
    from segtrain.inference.inputs import find_images

    if options.image_url is not None and "labelstudio" not in (options.save or ()):
        raise ConfigError("--image-url needs --save labelstudio, which writes it before the names of images")
    models, inputs = split_models(options.paths)
    infer_options = read_infer_options(options)
    left_out: Counter[str] = Counter()
    images = find_images(inputs, output=options.output, left_out=left_out)
    require_output(options.output)  # before the models are loaded

    from segtrain.commands.predict.job import predict_files
    from segtrain.distributed import from_first, rank
    from segtrain.inference.predictor import Predictor

    predictor = Predictor.load(
        *models, device=options.device, precision=options.precision, options=infer_options, trust=options.trust
    )
    started = time.perf_counter()
    wanted = Wanted(
        kinds=options.save,
        sample=options.rle_sample,
        fps=options.video,
        ranked=options.rank,
        model=" + ".join(map(_version_of, models)),
        image_url=options.image_url,
        min_area_px=options.min_area,
        simplify_px=options.simplify,
    )
    report = predict_files(predictor, from_first(lambda: images), options.output, wanted)
    if rank():
        return 0  # the first process reports, also what failed here
    print(report.summary(options.output, time.perf_counter() - started))
    if left_out:
        counts = [f"{count} {suffix or 'without a suffix'}" for suffix, count in left_out.most_common()]
        print(f"left out, since they are not images that can be read: {name_some(counts, most=8)}")
    for line in (*report.notes, *report.failures):
        tell(DataError(line))
    return report.status
