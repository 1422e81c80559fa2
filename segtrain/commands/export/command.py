"""python -m segtrain export RUN --to TARGET."""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from segtrain.command import parse_output
from segtrain.errors import ConfigError, DataError

if TYPE_CHECKING:
    from segtrain.commands.export.options import ExportOptions
    from segtrain.formats.sample import Splits
    from segtrain.inference.network import Network, TorchNetwork

TARGETS = ("onnx", "torchscript", "exported-program", "openvino", "savedmodel", "tflite", "hub")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("run", type=Path, help="run folder (its best.pt) or checkpoint")
    parser.add_argument("--to", required=True, choices=TARGETS, help="format to write")
    parser.add_argument(
        "-o", "--output", type=parse_output, metavar="PATH", help="file or folder; default: in the run folder"
    )
    parser.add_argument("--labels", action="store_true", help="class indices come out instead of probabilities")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--fp16", action="store_true", help="weights of 16 bits")
    precision.add_argument("--int8", action="store_true", help="8 bits, calibrated on training images")
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help="images of this size only")
    parser.add_argument("--images", help="folder or glob of images to compare with; default: the validation split")
    parser.add_argument(
        "--max-difference",
        type=float,
        metavar="0.001",
        help="largest difference of a probability that passes; default: 0.001, with --fp16 0.05, with --int8 any",
    )
    parser.add_argument(
        "--max-changed",
        type=float,
        metavar="0.001",
        help="share of the labels that may change; default: 0.001, with --fp16 0.01, with --int8 0.1",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        metavar="0.02",
        help="mIoU that may be lost with --fp16 or --int8; default: 0.02, with --int8 0.05",
    )
    parser.add_argument("--push", metavar="OWNER/NAME", help="with --to hub: push the folder there as well")
    parser.add_argument("--licence", help="with --to hub: licence of the weights, for the model card")


def main(options: argparse.Namespace) -> int:
    """Export, compare, put in place; 1 where the comparison fails."""
    module = importlib.import_module(f"segtrain.commands.export.{options.to.replace('-', '_')}")
    precision = _check(options, module)

    from segtrain.commands.export.images import images_to_compare
    from segtrain.commands.export.write import choose_path, put_in_place, staged, writing
    from segtrain.inference.load import load_trained

    network = load_trained(options.run, device="cpu", precision="fp32")
    path = choose_path(options.output, _default_path(options, module, precision), options.to)
    splits = _read_splits(network, options)
    paths = images_to_compare(options.images, splits and splits["val"], output=path)
    first = paths[0] if module.FIXED else None
    settings = _export_options(options, network, splits=splits, precision=precision, first=first)
    with staged(path) as draft:
        print(f"{path}: being written, then compared on {len(paths)} images", flush=True)
        with writing(path):
            module.export(network, draft, settings)
        exported = module.load(draft, device=network.device, precision=precision)
        if reason := _compare(
            network, exported, images=paths, splits=splits, settings=settings, path=path, options=options
        ):
            print(f"{path}: is not kept: {reason}; {_advise(settings, module)}", file=sys.stderr)
            return 1
        if hasattr(module, "keep_edited"):
            module.keep_edited(draft, path)
        with writing(path):
            put_in_place(draft, path)
    if hasattr(module, "publish"):
        module.publish(path, settings)
    return 0


def _compare(
    network: "TorchNetwork",
    exported: "Network",
    *,
    images: "list[Path]",
    splits: "Splits | None",
    settings: "ExportOptions",
    path: Path,
    options: argparse.Namespace,
) -> str:
    """Print what is found; return what is beyond the limits, empty where nothing is."""
    from segtrain.commands.export.compare import LIMITS, compare, compute_mious

    limits = LIMITS[settings.precision].replaced(
        difference=options.max_difference, changed=options.max_changed, loss=options.max_loss
    )
    difference = compare(network, exported, images, labels=options.labels)
    print(f"{path}: {difference}", flush=True)
    if (reason := limits.explain(difference)) or settings.precision == "fp32":
        return reason
    if splits is None:
        print(f"{path}: mIoU was not measured, the run's data set is not there", flush=True)
        return ""
    (before, after), number = compute_mious([network, exported], splits["val"], network.config)
    score = f"mIoU {after:.4f} on {number} validation images, before {before:.4f}: {after - before:+.4f}"
    print(f"{path}: {score}", flush=True)
    return limits.explain_loss(before, after)


def _advise(settings: "ExportOptions", module: ModuleType) -> str:
    """What could help an export that differs too much."""
    if settings.precision != "fp32":
        return f"leave --{settings.precision} out"
    if settings.size is None and module.NAME != "hub":
        return "write --size H W, or another --to"
    return "write another --to"


def _check(options: argparse.Namespace, module: ModuleType) -> str:
    """The precision, after looking at what can be looked at before anything is loaded. Raises ConfigError."""
    from segtrain.command import require_libraries

    precision = "fp16" if options.fp16 else "int8" if options.int8 else "fp32"
    if precision not in module.PRECISIONS:
        others = [name for name in TARGETS if precision in _precisions(name)]
        raise ConfigError(f"--{precision}: --to {options.to} has no such form; write --to {', '.join(others)}")
    if options.to != "hub" and (options.push or options.licence):
        raise ConfigError(f"--{'push' if options.push else 'licence'}: goes with --to hub alone")
    if options.size is not None and min(options.size) < 1:
        raise ConfigError(f"--size {options.size[0]} {options.size[1]}: a height and a width of at least 1")
    if module.REQUIRES is not None:
        extra, modules = module.REQUIRES
        require_libraries(f"--to {options.to}", extra, modules)
    return precision


def _precisions(target: str) -> tuple[str, ...]:
    return importlib.import_module(f"segtrain.commands.export.{target.replace('-', '_')}").PRECISIONS


def _default_path(options: argparse.Namespace, module: ModuleType, precision: str) -> Path:
    """In the run folder, with what differs from the plain form of best.pt in the name."""
    name, folder = Path(module.NAME), options.run
    parts = [name.stem]
    if options.run.is_file():
        folder = options.run.parent
        parts += [options.run.stem] * (options.run.name != "best.pt")
    parts += ["labels"] * options.labels
    parts += ["{}x{}".format(*options.size)] if options.size else []
    parts += [precision] * (precision != "fp32")
    return folder / f"{'-'.join(parts)}{name.suffix}"


def _read_splits(network: "TorchNetwork", options: argparse.Namespace) -> "Splits | None":
    """The data set of the run; None where it is not there and not needed."""
    from segtrain.data.splits import read_splits

    config = network.config
    try:
        return read_splits(config.data, seed=config.seed, cache=config.cache_dir)
    except DataError as error:
        if options.int8:
            raise DataError(f"--int8 looks at training images: {error}") from error
        if options.images is None:
            raise DataError(f"{error}; or name images to compare with: --images FOLDER") from error
        return None


def _export_options(
    options: argparse.Namespace,
    network: "TorchNetwork",
    *,
    splits: "Splits | None",
    precision: str,
    first: Path | None,
) -> "ExportOptions":
    from segtrain.commands.export.images import calibration_images, read_prepared
    from segtrain.commands.export.options import ExportOptions

    size = tuple(options.size) if options.size else None
    if size is None and first is not None:
        size = tuple(read_prepared(first, network.task).shape[-2:])
    return ExportOptions(
        labels=options.labels,
        precision=precision,
        size=size,
        calibration=calibration_images(splits["train"] if splits else (), network.task, size),
        push=options.push,
        licence=options.licence,
    )
