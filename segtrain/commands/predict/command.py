"""Predict images, videos and large TIFFs with a trained model, or with several as one.

python predict.py runs/street-1 some/images -o out/                    a folder and its subfolders, files, or globs
python predict.py runs/street-1 runs/street-2 a.jpg -o out/            an ensemble: probabilities are averaged
python predict.py model.onnx some/images -o out/ --save index,coco     an exported model; other outputs
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
    parser.epilog = f"what --save writes to the output folder, in addition to manifest.csv:\n{saves}"
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="MODEL INPUT",
        help="one or more run folders (their best.pt is used), checkpoints or exported files; then images and videos",
    )
    parser.add_argument("-o", "--output", type=parse_output, required=True, help="folder to write to")
    parser.add_argument(
        "--save",
        type=parse_kinds,
        metavar="KINDS",
        help=f"what to write, separated by commas; default: {','.join(DEFAULT)}, and nothing for video frames",
    )
    parser.add_argument(
        "--rle-sample",
        type=Path,
        metavar="FILE",
        help="sample submission: rle.csv gets its rows, order, header and delimiter",
    )
    parser.add_argument(
        "--video",
        type=_read_fps,
        metavar="FPS",
        help="treat each folder of images as the frames of a video, and write that video",
    )
    parser.add_argument(
        "--rank",
        action="store_true",
        help="what to label next: rank.csv lists the most uncertain images first, rank.jpg shows the first 12",
    )
    parser.add_argument(
        "--image-url",
        metavar="PREFIX",
        help="for --save labelstudio: text to put before image names; default: the path of Label Studio's local files",
    )
    _add_shaping_arguments(parser)
    add_infer_arguments(parser)


def _add_shaping_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-area",
        type=_read_area,
        default=0,
        metavar="PX",
        help="merge regions of fewer pixels into their surroundings, in all outputs",
    )
    parser.add_argument(
        "--simplify",
        type=_read_tolerance,
        default=0.0,
        metavar="PX",
        help="simplify outlines, moving them by at most PX pixels; adjacent regions still share their borders",
    )


def _read_area(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of pixels; write a whole number, like 50")


def _read_tolerance(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (pixels := float(text)) <= 1000:
            return pixels
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of pixels; write a number from 0 to 1000, like 1.5")


def _read_fps(text: str) -> float:
    with suppress(ValueError):
        if 0 < (fps := float(text)) <= 1000:
            return fps
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of frames per second; write a number like 25")


def _version_of(model: str) -> str:
    """The name of a run folder, or a file's name with that of its folder."""
    path = Path(model).resolve()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def main(options: argparse.Namespace) -> int:
    """Find the images, load the models, write the predictions. Returns 1 if some images failed, 2 if all did."""
    from segtrain.inference.inputs import find_images

    if options.image_url is not None and "labelstudio" not in (options.save or ()):
        raise ConfigError("--image-url has an effect only with --save labelstudio; add that, or remove --image-url")
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
        return 0  # the first process also reports the failures of the others
    print(report.summary(options.output, time.perf_counter() - started))
    if left_out:
        counts = [f"{count} {suffix or 'without a file extension'}" for suffix, count in left_out.most_common()]
        print(f"skipped, because their type is not supported: {name_some(counts, most=8)}")
    for line in (*report.notes, *report.failures):
        tell(DataError(line))
    return report.status
