"""Experiment: what `init` writes for two folders, with its choices and the table that keeps similar images together."""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from huggingface_hub import constants

from segtrain.commands.check.check_files import find_not_turned, find_other_sizes, find_unreadable
from segtrain.commands.check.check_images import compute_statistics, find_white
from segtrain.commands.check.check_leaks import find_leaks
from segtrain.commands.check.check_values import find_wrong_values
from segtrain.commands.check.dataset_report import DatasetReport, gather
from segtrain.commands.check.duplicates import group_duplicates
from segtrain.commands.check.examine import Record
from segtrain.commands.check.finding import Finding, write_lines
from segtrain.commands.check.recipe import choose_recipe, write_experiment
from segtrain.commands.check.source import Source, from_folders
from segtrain.devices import resolve_device
from segtrain.errors import DataError
from segtrain.files import write_whole
from segtrain.formats.sample import SampleTable, Splits, split_by_fraction
from segtrain.memory import read_available_bytes
from segtrain.models.weights import require_hub

VAL_FRACTION = 0.2
LARGEST_GROUP = 0.5  # of the images: where more than this look alike they cannot all be kept on one side


def init_experiment(images: str, masks: str, output: Path, *, table: Path) -> None:
    """Look at two folders and write the experiment `output`, and the `table` of the files where some images look alike.

    Raises DataError where the data do not give a training; nothing is written then.
    """
    source = from_folders(images, masks)
    _refuse(source, source.findings)
    report = gather(source)
    for find in (find_unreadable, find_not_turned, find_other_sizes, find_wrong_values):
        _refuse(source, find(report))
    splits, notes = choose_splits(report)
    settings = choose_settings(report, look_at_machine())
    by_table = any(sample.group for sample in splits["train"])
    data_lines = describe_files(source, output, table if by_table else None)
    shown = shlex.join(["python", "-m", "segtrain", "init", images, masks, "-o", str(output)])
    counted = f"from {len(report.records)} images; look over the classes, then: python train.py {output}"
    text = write_experiment(
        name=re.sub(r"[^\w.-]+", "-", output.stem).strip("-.") or "mine",
        head=[f"Made by {shown}", counted, *notes],
        data_lines=[*data_lines, *report.proposal.lines[1:]],
        **settings,
    )
    if by_table:
        write_whole(table, write_table(splits, table.parent.resolve()))
    write_whole(output, text)
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
    height, width = settings["crop"]
    print(f"{output}: {counts} images; crops of {width} x {height} pixels, batches of {settings['batch_size']}, "
          f"{settings['epochs']} epochs")  # fmt: skip
    for note in notes:
        print(f"note: {note}")
    print(f"look over its classes, then: python train.py {output}")


def _refuse(source: Source, findings: Iterable[Finding]) -> None:
    """Raises DataError for the first of the findings that is an error."""
    for finding in findings:
        if finding.level == "error":
            files, hint = ", ".join(finding.files[:3]), f"{source.command} says how to fix it"
            raise DataError(f"{source.folders[0]}: {finding.title}; {files}; {hint}")


def choose_splits(report: DatasetReport) -> tuple[Splits, list[str]]:
    """The splits that the folders are, or one that keeps images together that look alike; and what to say of it."""
    source = report.source
    if "all" not in source.splits:
        if {"train", "val"} <= source.splits.keys():
            return source.splits, [finding.title for finding in find_leaks(report)]
        raise DataError(
            f"{source.title}: there are folders for {' and '.join(source.splits)}, but not for train and val; "
            "give the folders of the training images and masks alone"
        )
    samples, groups = source.splits["all"], group_duplicates(report.records)
    sizes = np.bincount(groups)
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


def look_at_machine() -> dict[str, Any]:
    """The device that train.py would take, the memory of it, and whether the hub answers, for choose_recipe."""
    require_hub()
    device = resolve_device("auto")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else read_available_bytes()
    return {"gpu": device.type != "cpu", "free_bytes": free, "pretrained": not constants.HF_HUB_OFFLINE}


def describe_files(source: Source, output: Path, table: Path | None) -> list[str]:
    """The lines below `data:` that say where the files are: the folders, or a table that keeps groups together."""
    if table is not None:
        data = {"format": "csv", "root": str(output.parent), "file": table.name, "group_column": "group"}
        return write_lines({"data": data})[1:]
    lines = write_lines({"data": {"format": "folders", **source.data}})[1:]
    held_out = f"  val_fraction: {VAL_FRACTION}         # held out, chosen by name and seed"
    return [*lines, held_out] if "all" in source.splits else lines


def write_table(splits: Splits, folder: Path) -> str:
    """A CSV of the files, relative to a folder, with their split and group."""
    rows = [
        (*(os.path.relpath(Path(path).resolve(), folder) for path in (sample.image, sample.mask)), split, sample.group)
        for split, samples in splits.items()
        for sample in samples
    ]
    return pandas.DataFrame(rows, columns=["image", "mask", "split", "group"]).to_csv(index=False, lineterminator="\n")


def choose_settings(report: DatasetReport, machine: dict[str, Any]) -> dict[str, Any]:
    """The recipe, and how the images are read, as write_experiment takes it; grey images are read as RGB, as a set of
    photographs may have some.

    Raises DataError where images are of several kinds.
    """
    kinds: dict[tuple[int, str], Record] = {}
    for record in report.records:
        kinds.setdefault((3 if record.image.channels == 1 else record.image.channels, record.image.dtype), record)
    if len(kinds) > 1:
        each = ", ".join(f"{r.sample.image} has {c} channels of {dtype}" for (c, dtype), r in list(kinds.items())[:3])
        raise DataError(f"{report.source.folders[0]}: images are of several kinds: {each}; make them alike")
    ((channels, dtype),) = kinds
    images = [record.image for record in report.records]
    scale = float(find_white(images)[0]) if dtype != "uint8" else None
    mean = std = None
    if channels != 3 or scale is not None:
        colored = [image for image in images if image.channels == channels] or images
        mean, std = (values / (scale or 255.0) for values in compute_statistics(colored))
    pixels = report.class_pixels
    recipe = choose_recipe(
        sizes=np.array([(r.image.height, r.image.width) for r in report.records if r.split in ("train", "all")]),
        shares=(pixels.sum(axis=0) / max(int(pixels.sum()), 1)).tolist(),
        image_shares=(pixels > 0).mean(axis=0).tolist(),
        binary=report.labelling.binary,
        upright=not all(image.file_type == "TIFF" for image in images),  # those are aerial images
        **machine,
    )
    return recipe | {"channels": channels if channels != 3 else None, "scale": scale, "mean": mean, "std": std}
