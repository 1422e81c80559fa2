"""Export of a run: write a form of its network, compare it on images, move it to where it belongs."""

import argparse
import importlib
from dataclasses import replace
from pathlib import Path

from segtrain.commands.export.compare import LIMITS, compare, compute_mious
from segtrain.commands.export.forms import Form, default_path
from segtrain.commands.export.graph import ExportOptions
from segtrain.commands.export.images import calibration_images, images_to_compare, read_prepared
from segtrain.commands.export.write import choose_path, keep_changed, move_into, staged
from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.files import explained_write
from segtrain.formats.sample import SampleTable, Splits
from segtrain.inference.load import load_network, load_trainable
from segtrain.inference.network import Network, TorchNetwork


def export_run(options: argparse.Namespace, form: Form) -> str:
    """Export, compare, move; why the form is not kept, in one line, empty where it is.

    Raises SegtrainError for what cannot be exported, compared or written.
    """
    module = importlib.import_module(f"segtrain.commands.export.{options.to.replace('-', '_')}")
    network = load_trainable(options.run, trust=options.trust)
    path = choose_path(options.output, default_path(options, form), options.to)
    splits = _read_splits(network, options)
    images = images_to_compare(options.images, splits and splits["val"], output=path)
    size = tuple(options.size) if options.size else None
    if size is None and form.one_size:
        size = tuple(read_prepared(images[0], network.task).shape[-2:])
    settings = ExportOptions(
        labels=options.labels,
        precision=options.precision,
        size=size,
        calibration=calibration_images(splits["train"] if splits else (), network.task, size),
        push=options.push,
        license=options.license,
    )
    with staged(path) as draft:
        print(f"{path}: writing, then comparing on {len(images)} images", flush=True)
        with explained_write(path):
            module.export(network, draft, settings)
        exported = load_network(draft / form.model, device="cpu", precision=options.precision, trust=True)
        if reason := _compare(network, exported, images, splits and splits["val"], path=path, options=options):
            return f"{path}: was not kept: {reason}; {_advise(settings, options.to)}"
        if options.to == "hub":
            module.keep_edited(draft, path)
        elif form.model:
            keep_changed(draft, path, form.model)
        with explained_write(path):
            move_into(draft, path)
    if options.push:
        module.publish(path, options.push)
    return ""


def _read_splits(network: TorchNetwork, options: argparse.Namespace) -> Splits | None:
    """The dataset of the run; None where it is not there and not needed."""
    config = network.config
    try:
        return read_splits(config.data, seed=config.seed, cache=config.cache_dir)
    except DataError as error:
        if options.precision == "int8":
            raise DataError(f"--int8 needs training images: {error}") from error
        if options.images is None:
            raise DataError(f"{error}; or give images for the comparison: --images FOLDER") from error
        return None


def _compare(
    network: TorchNetwork,
    exported: Network,
    images: list[Path],
    samples: SampleTable | None,
    *,
    path: Path,
    options: argparse.Namespace,
) -> str:
    """Print what is found; return what is beyond the limits, empty where nothing is."""
    given = {"difference": options.max_difference, "changed": options.max_changed, "loss": options.max_loss}
    limits = replace(LIMITS[options.precision], **{name: limit for name, limit in given.items() if limit is not None})
    difference = compare(network, exported, images)
    print(f"{path}: {difference}", flush=True)
    if (reason := limits.explain(difference)) or options.precision == "fp32":
        return reason
    if samples is None:
        print(f"{path}: mIoU was not measured, because the run's dataset was not found", flush=True)
        return ""
    (before, after), number = compute_mious([network, exported], samples, network.config)
    score = f"mIoU {after:.4f} on {number} validation images, before {before:.4f}: {after - before:+.4f}"
    print(f"{path}: {score}", flush=True)
    return limits.explain_loss(before, after)


def _advise(settings: ExportOptions, form: str) -> str:
    """What could help an export that differs too much."""
    if settings.precision != "fp32":
        return f"remove --{settings.precision}"
    if settings.size is None and form != "hub":
        return "write --size H W or another --to"
    return "write another --to"
