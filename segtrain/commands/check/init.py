"""Look at a folder of images and one of masks, and write the experiment that trains on them."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segtrain.command import parse_output
from segtrain.commands.check.class_lines import write_text
from segtrain.commands.check.dataset_report import DatasetReport, gather
from segtrain.commands.check.duplicates import group_duplicates
from segtrain.commands.check.examine import Examiner
from segtrain.commands.check.pool import examine_all
from segtrain.commands.check.recipe import Recipe, Situation, choose_recipe
from segtrain.commands.check.recipe_text import Findings, write_experiment
from segtrain.commands.check.record import ImageRecord, Record
from segtrain.commands.check.source import Source, from_folders
from segtrain.errors import ConfigError, DataError
from segtrain.files import write_whole
from segtrain.formats.sample import SampleTable, Splits, split_by_fraction
from segtrain.images.to_image import WHITES
from segtrain.memory import read_available_bytes

VAL_FRACTION = 0.2
TABLE = ".csv"  # of the images, beside the experiment, where some look alike
LARGEST_GROUP = 0.5  # of the images: where more than this look alike they cannot all be kept on one side


class Machine(NamedTuple):
    """What a training would run on."""

    gpu: bool
    free_bytes: int | None
    hub: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("images", help="folder or glob of the images")
    parser.add_argument("masks", help="folder or glob of the masks, of the same names")
    parser.add_argument(
        "-o", "--output", type=parse_output, default=Path("config.yml"), help="file to write (config.yml)"
    )


def main(options: argparse.Namespace) -> None:
    """Look at `options.images` and `options.masks`, and write `options.output`.

    Raises ConfigError where that exists, and DataError where the data do not give a training.
    """
    output: Path = options.output
    if output.suffix not in (".yml", ".yaml"):
        raise ConfigError(f"{output}: an experiment is a YAML file; write -o {output.with_suffix('.yml')}")
    for file in (output, output.with_suffix(TABLE)):
        if file.exists():
            raise ConfigError(f"{file}: exists; write -o another file, like -o experiments/mine.yml")
    source = from_folders(options.images, options.masks)
    if source.findings:
        first = source.findings[0]
        raise DataError(f"{options.images}: {first.title}; {', '.join(first.files[:3])}; {_see_check(options)}")
    records = examine_all(source.splits, Examiner(None))
    report = gather(source, records)
    require_trainable(report, _see_check(options))
    splits, notes = choose_splits(source, records)
    machine = look_at_machine()
    training = [record for record in records if record.split in ("train", "all")]
    recipe = choose_recipe(describe_situation(report, training, machine))
    data_lines, table = place_data(source, splits, output)
    found = describe_findings(options, report, machine, notes=notes, data_lines=data_lines)
    if table is not None:
        write_whole(output.with_suffix(TABLE), table)
    write_whole(output, write_experiment(recipe, found))
    _report(output, recipe, found, splits)


def _see_check(options: argparse.Namespace) -> str:
    return f"python -m segtrain check --images {options.images} --masks {options.masks} says how to mend it"


def require_trainable(report: DatasetReport, hint: str) -> None:
    """Raises DataError where a file cannot be read, sizes differ, or the masks are no masks of classes."""
    for record in report.records:
        if record.image_error or record.mask_error:
            raise DataError(f"{record.image_error or record.mask_error}; {hint}")
        if not record.is_pair:
            raise DataError(f"{record.sample.mask_file}: is not of the size of {record.sample.image}; {hint}")
    proposal = report.proposal
    if proposal is None or not proposal.classes or proposal.noise > 0:
        what = "their edges are smoothed or compressed" if proposal and proposal.noise > 0 else "no classes are found"
        raise DataError(f"{report.records[0].sample.mask_file}: and the other masks: {what}; {hint}")


def choose_splits(source: Source, records: Sequence[Record]) -> tuple[Splits, list[str]]:
    """The splits that the folders are, or one that keeps images together that look alike; and what to say of it."""
    groups = group_duplicates(records)
    sizes = np.bincount(groups)
    if set(source.splits) != {"all"}:
        if {"train", "val"} <= source.splits.keys():
            names = np.array([record.split for record in records])
            across = sum(len(set(names[groups == group])) > 1 for group in np.flatnonzero(sizes > 1))
            note = f"{across} groups of images that look alike are in more than one split: scores will be too high"
            return source.splits, [note] if across else []
        raise DataError(
            f"{source.title}: there are folders for {' and '.join(source.splits)}, but not for train and val; "
            "give the folders of the training images and masks alone"
        )
    samples = source.splits["all"]
    if sizes.max() == 1:
        return split_by_fraction(samples, VAL_FRACTION, 0), []
    if sizes.max() > LARGEST_GROUP * len(samples):
        note = f"{sizes.max()} of {len(samples)} images look alike (frames of a video?) and are on both sides of the "
        note += "split: scores will be too high; better hold out a whole scene"
        return split_by_fraction(samples, VAL_FRACTION, 0), [note]
    named = SampleTable(
        sample._replace(group=f"{group}") for sample, group in zip(samples, groups.tolist(), strict=True)
    )
    note = f"{(sizes[sizes > 1]).sum()} images look like others; the split keeps those together"
    return split_by_fraction(named, VAL_FRACTION, 0), [note]


def look_at_machine() -> Machine:
    """The device that train.py would take, the memory of it, and whether the hub answers."""
    import torch
    from huggingface_hub import constants

    from segtrain.devices import resolve_device
    from segtrain.models.weights import require_hub

    require_hub()
    device = resolve_device("auto")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else read_available_bytes()
    return Machine(device.type != "cpu", free, not constants.HF_HUB_OFFLINE)


def describe_situation(report: DatasetReport, training: Sequence[Record], machine: Machine) -> Situation:
    """What the choice of a recipe depends on; `training` are the records of what may be trained on."""
    pixels = report.class_pixels
    total = max(int(pixels.sum()), 1)
    return Situation(
        sizes=np.array([(record.image.height, record.image.width) for record in training]),
        shares=(pixels.sum(axis=0) / total).tolist(),
        image_shares=(pixels > 0).mean(axis=0).tolist(),
        binary=len(report.proposal.classes) == 1,
        upright=not _is_aerial(training),
        gpu=machine.gpu,
        free_bytes=machine.free_bytes,
        pretrained=machine.hub,
    )


def _is_aerial(records: Sequence[Record]) -> bool:
    return all(record.image.file_type == "TIFF" for record in records)


def place_data(source: Source, splits: Splits, output: Path) -> tuple[list[str], str | None]:
    """The lines below `data:` that say where the files are, and the table that they name, where one is needed."""
    if not any(sample.group for sample in splits["train"]):
        lines = ["  format: folders", *source.data_lines[1:]]
        if "all" in source.splits:
            lines.append(f"  val_fraction: {VAL_FRACTION}         # held out, chosen by name and seed")
        return lines, None
    folder = output.parent.resolve()
    rows = ["image,mask,split,group"]
    for split, samples in splits.items():
        for sample in samples:
            paths = [os.path.relpath(Path(path).resolve(), folder) for path in (sample.image, sample.mask)]
            rows.append(",".join([*map(_cell, paths), split, sample.group]))
    table = write_text(output.with_suffix(TABLE).name)
    lines = ["  format: csv", f"  root: {write_text(str(output.parent))}", f"  file: {table}", "  group_column: group"]
    return lines, "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text


def describe_findings(
    options: argparse.Namespace, report: DatasetReport, machine: Machine, *, notes: Sequence[str], data_lines: list[str]
) -> Findings:
    """What the experiment file says of the data."""
    images = [record.image for record in report.records]
    kinds: dict[tuple[int, str], Record] = {}
    for record in report.records:
        kinds.setdefault((_channels(record.image.channels), record.image.dtype), record)
    if len(kinds) > 1:
        each = ", ".join(f"{r.sample.image} has {c} channels of {dtype}" for (c, dtype), r in list(kinds.items())[:3])
        raise DataError(f"{options.images}: images are of several kinds: {each}; make them alike")
    channels, dtype = next(iter(kinds))
    deep = dtype != "uint8"
    high = max(image.high for image in images)
    scale = float(next((white for white in WHITES if high <= white), high)) if deep else None
    mean, std = measure_colors([image for image in images if image.channels == channels] or images, scale or 255.0)
    measured = channels != 3 or deep
    shown = " ".join(["python -m segtrain init", options.images, options.masks, "-o", str(options.output)])
    head = [
        f"Made by {shown}",
        f"from {len(images)} images; look over the classes, then: python train.py {options.output}",
        *notes,
    ]
    return Findings(
        name=re.sub(r"[^\w.-]+", "-", options.output.stem).strip("-.") or "mine",
        head=head,
        data_lines=[*data_lines, *report.proposal.lines[1:]],
        binary=len(report.proposal.classes) == 1,
        upright=not _is_aerial(report.records),
        pretrained=machine.hub,
        channels=channels if channels != 3 else None,
        scale=scale,
        mean=mean if measured else None,
        std=std if measured else None,
    )


def _channels(found: int) -> int:
    """What is trained on: grey images are read as RGB, as a set of photographs may have some of them."""
    return 3 if found == 1 else found


def measure_colors(images: Sequence[ImageRecord], white: float) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all images, in units of white."""
    mean = np.mean([image.mean for image in images], axis=0) / white
    variance = np.mean([image.square for image in images], axis=0) / white**2 - mean**2
    return mean.tolist(), np.sqrt(np.maximum(variance, 1e-12)).tolist()


def _report(output: Path, recipe: Recipe, found: Findings, splits: Splits) -> None:
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
    print(f"{output}: {counts} images; crops of {recipe.crop[1]} x {recipe.crop[0]} pixels, batches of "
          f"{recipe.batch_size}, {recipe.epochs} epochs")  # fmt: skip
    for note in found.head[2:]:
        print(f"note: {note}")
    print(f"look over its classes, then: python train.py {output}")
