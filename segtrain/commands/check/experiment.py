"""Experiment: what `init` writes for two folders, a training that suits the data and the machine, and the table that
keeps similar images together."""

import math
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas
import torch
from huggingface_hub import constants

from segtrain.commands.check.check_files import find_elsewhere, find_not_turned, find_other_sizes, find_unreadable
from segtrain.commands.check.check_images import compute_statistics, find_white
from segtrain.commands.check.check_leaks import find_leaks, group_duplicates
from segtrain.commands.check.check_values import find_palettes, find_wrong_values
from segtrain.commands.check.dataset_report import DatasetReport, gather
from segtrain.commands.check.examine import Record
from segtrain.commands.check.export_source import ExportSource, describe_classes
from segtrain.commands.check.finding import Finding, write_flow, write_lines
from segtrain.commands.check.source import TILE_PX, Source
from segtrain.data.tiling import hold_out_block
from segtrain.devices import resolve_device
from segtrain.errors import DataError, name_some
from segtrain.files import split_window, write_whole
from segtrain.formats.sample import OneSampleError, Sample, SampleTable, Splits, split_by_fraction
from segtrain.memory import choose_batch, read_available_bytes
from segtrain.models.encoder import require_hub

VAL_FRACTION = 0.2
LARGEST_GROUP = 0.5  # of the images: where more than this look alike they cannot all be kept on one side
STRIDE_PX = 32
LEAST_CROP_PX = 64
PIXELS_PER_CROP = {"cpu": 320 * 320, "gpu": 512 * 512}
UPDATES = {"cpu": 2000, "gpu": 8000}  # of the optimizer
EPOCHS = (10, 200)
RARE_SHARE = 0.02  # of the labeled pixels: a class below it is weighted up
RARE_IMAGES = 0.1  # of the images: a class in fewer is drawn more often


def init_experiment(found: ExportSource, given: Sequence[str], output: Path, *, table: Path) -> None:
    """Look at a source and write the experiment `output`, and the `table` of the samples where some images look alike.
    `given` are the arguments of the command, for the head of the file.

    Raises DataError where the data do not give a training; nothing is written then.
    """
    source = found.source
    _refuse(source, source.findings)
    report = gather(source)
    for find in (find_unreadable, find_not_turned, find_other_sizes, find_elsewhere, find_wrong_values):
        _refuse(source, find(report))
    splits, notes = choose_splits(report)
    warnings = (*find_not_turned(report), *find_palettes(report))
    notes = [*found.notes, *notes, *(f"{finding.title}; {finding.explanation}" for finding in warnings)]
    class_lines, told = describe_classes(report, found) if found.classes else (report.proposal.lines[1:], [])
    notes += told
    settings = choose_settings(report, look_at_machine())
    by_group = any(sample.group for sample in splits["train"])
    by_table = by_group or not source.data
    data_lines = describe_files(source, output, table if by_table else None, by_group=by_group)
    shown = shlex.join(["python", "-m", "segtrain", "init", *given, "-o", str(output)])
    counted = f"from {report.count_text}; check the classes, then run: python train.py {output}"
    text = write_experiment(
        name=re.sub(r"[^\w.-]+", "-", output.stem).strip("-.") or "mine",
        head=[f"Made by {shown}", counted, *notes],
        data_lines=[*data_lines, *class_lines],
        claims_255=any(255 in (item.value, *(item.values or ())) for item in report.proposal.classes),
        **settings,
    )
    if by_table:
        write_whole(table, write_table(splits, table.parent.resolve(), by_name=is_annotated(source)))
    write_whole(output, text)
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
    height, width = settings["crop"]
    what = f"{counts} {'windows' if report.has_windows else 'images'}"
    print(f"{output}: {what}; crops of {width} x {height} pixels, batches of {settings['batch_size']}, "
          f"{settings['epochs']} epochs")  # fmt: skip
    for note in notes:
        print(f"note: {note}")
    print(f"check its classes, then run: python train.py {output}")


def is_annotated(source: Source) -> bool:
    """Whether the masks are in annotation files, and no table of paths can stand for them."""
    return any("\t" in sample.mask for samples in source.splits.values() for sample in samples[:1])


def _refuse(source: Source, findings: Iterable[Finding]) -> None:
    """Raises DataError for the first of the findings that is an error."""
    for finding in findings:
        if finding.level == "error":
            advice = finding.explanation.partition(" This fix ")[0]  # only `check` shows fixes
            hint = f"{source.command} shows how to fix it" if source.arguments else advice
            files = f": {name_some(finding.files)}" if finding.files else ""
            raise DataError(f"{source.title}: {finding.title}{files}; {hint}")


def choose_splits(report: DatasetReport) -> tuple[Splits, list[str]]:
    """The splits that the folders are, or one that keeps images together that look alike; and what to say of it."""
    source = report.source
    if "all" not in source.splits:
        if {"train", "val"} <= source.splits.keys():
            return source.splits, [finding.title for finding in find_leaks(report)]
        raise DataError(
            f"{source.title}: there are folders for {' and '.join(source.splits)}, but not for train and val; give "
            f"only the folders of the training images and masks"
        )
    if report.has_windows:
        return split_wholes(source.splits["all"])
    samples, notes = source.splits["all"], []
    others = {split: samples for split, samples in source.splits.items() if split != "all"}
    groups = group_duplicates([report.records[index] for index in report.splits["all"]])
    sizes = np.bincount(groups)
    if sizes.max() > LARGEST_GROUP * len(samples):
        note = f"{sizes.max()} of {len(samples)} images look alike (frames of a video?) and are on both sides of the "
        notes = [f"{note}split, so scores will be too high; hold out an entire scene instead"]
    elif sizes.max() > 1:
        pairs = zip(samples, groups.tolist(), strict=True)
        samples = SampleTable(sample._replace(group=f"{group}") for sample, group in pairs)
        notes = [f"{(sizes[sizes > 1]).sum()} images look like others; the split keeps them together"]
    return split_by_fraction(samples, VAL_FRACTION, 0) | others, notes


def split_wholes(samples: SampleTable) -> tuple[Splits, list[str]]:
    """The splits of windows as a training makes them: an image is in one of them; of one alone a block is held out."""
    notes: list[str] = []
    wholes: dict[str, list[Sample]] = {}
    for sample in samples:
        wholes.setdefault(sample.whole_name, []).append(sample)
    try:
        parts = split_by_fraction([windows[0]._replace(name=name) for name, windows in wholes.items()], VAL_FRACTION, 0)
    except OneSampleError as error:
        image, mask = (split_window(path)[0] for path in error.sample[1:3])
        return hold_out_block(error.sample._replace(image=image, mask=mask), TILE_PX, VAL_FRACTION, notes), notes
    return {split: SampleTable(part for one in ones for part in wholes[one.name]) for split, ones in parts.items()}, []


def look_at_machine() -> dict[str, Any]:
    """The device that train.py would take, the memory of it, and whether the hub answers, for choose_recipe."""
    require_hub()
    device = resolve_device("auto")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else read_available_bytes()
    return {"gpu": device.type != "cpu", "free_bytes": free, "pretrained": not constants.HF_HUB_OFFLINE}


def describe_files(source: Source, output: Path, table: Path | None, *, by_group: bool) -> list[str]:
    """The lines below `data:` that say where the files are: the folders or annotations, or a table that keeps groups
    together."""
    if table is not None and not is_annotated(source):
        data = {"format": "csv", "root": str(output.parent), "file": table.name}
        data |= {"group_column": "group"} if by_group else {}
        return write_lines({"data": data})[1:]
    data = {"format": "folders", **source.data} | ({"split_table": str(table)} if table is not None else {})
    lines = write_lines({"data": data})[1:]
    if "tile" in source.data:
        why = "side of the windows in which TIFFs are read; each crop is within one window"
        lines = [f"{line:32} # {why}" if line.startswith("  tile:") else line for line in lines]
    held_out = f"  val_fraction: {VAL_FRACTION}         # held out, chosen by name and seed"
    return [*lines, held_out] if "all" in source.splits and table is None else lines


def write_table(splits: Splits, folder: Path, *, by_name: bool) -> str:
    """A CSV of the split and group of each sample: of its files, relative to a folder, or else of its name."""
    rows = [
        (
            *([s.name] if by_name else (os.path.relpath(Path(f).resolve(), folder) for f in (s.image, s.mask))),
            split,
            s.group,
        )
        for split, samples in splits.items()
        for s in samples
    ]
    columns = ["name"] if by_name else ["image", "mask"]
    table = pandas.DataFrame(rows, columns=[*columns, "split", "group"])
    return table.to_csv(index=False, lineterminator="\n")


def choose_settings(report: DatasetReport, machine: dict[str, Any]) -> dict[str, Any]:
    """The recipe, and how the images are read, as write_experiment takes it; gray images are read as RGB, as a set of
    photographs may have some.

    Raises DataError where images are of several kinds.
    """
    kinds: dict[tuple[int, str], Record] = {}
    for record in report.records:
        kinds.setdefault((3 if record.image.channels == 1 else record.image.channels, record.image.dtype), record)
    if len(kinds) > 1:
        each = ", ".join(f"{r.sample.image} has {c} channels of {dtype}" for (c, dtype), r in list(kinds.items())[:3])
        raise DataError(f"{report.source.title}: the images have different types: {each}; convert them to one type")
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
        binary=report.labeling.binary,
        upright=not all(image.file_type == "TIFF" for image in images),  # those are aerial images
        **machine,
    )
    return recipe | {"channels": channels if channels != 3 else None, "scale": scale, "mean": mean, "std": std}


def choose_recipe(
    *,
    sizes: np.ndarray,
    shares: Sequence[float],
    image_shares: Sequence[float],
    binary: bool,
    upright: bool,
    gpu: bool,
    free_bytes: int | None,
    pretrained: bool,
) -> dict[str, Any]:
    """The numbers and names of an experiment file; see the constants for the bounds.

    Args:
        sizes: height and width in pixels of each training image, (N, 2).
        shares: share of the labeled pixels of each class, a binary task with its background first.
        image_shares: share of the images that each class occurs in.
        binary: whether there is one class.
        upright: whether there is an up in the images.
        gpu: whether there is a GPU.
        free_bytes: the memory of the device; None: not known.
        pretrained: whether the encoder's weights can be had.
    """
    kind = "gpu" if gpu else "cpu"
    crop = choose_crop(sizes, pixels=PIXELS_PER_CROP[kind], square=not upright)
    batch = choose_batch(crop, count=len(sizes), kind=kind, free_bytes=free_bytes)
    accumulate = max(1, 4 // batch)
    epochs = int(np.clip(round(UPDATES[kind] / max(1, len(sizes) // batch // accumulate)), *EPOCHS))
    rarest, fewest = (min((share for share in found if share > 0), default=1) for found in (shares, image_shares))
    return {
        "binary": binary,
        "upright": upright,
        "pretrained": pretrained,
        "crop": crop,
        "batch_size": batch,
        "accumulate_steps": accumulate,
        "epochs": epochs,
        "eval_every_epochs": max(1, epochs // 12),
        "encoder_name": "resnet34" if gpu else "resnet18",
        "decoder_channels": [256, 128, 64, 32, 16] if gpu else [128, 64, 32, 32, 16],
        "learning_rate": 1e-3 if pretrained else 2e-3,
        "encoder_lr_factor": 0.2 if pretrained else 1.0,
        "class_weights": rarest < RARE_SHARE and not binary,
        "balance": 0.3 if fewest < RARE_IMAGES else 0.0,
        "lovasz_from": round(0.75 * epochs) if not binary and len(shares) <= 32 else None,
    }


def choose_crop(sizes: np.ndarray, *, pixels: int, square: bool) -> tuple[int, int]:
    """Height and width of the crop: those of the median image, reduced to at most so many pixels and to multiples of
    32, rounded up where the whole image is meant. Square, of its shorter side, where images are turned as well."""
    height, width = np.median(sizes, axis=0)
    if square:
        height = width = min(height, width)
    factor = min(1.0, math.sqrt(pixels / (height * width)))
    rounded = math.ceil if factor == 1 else math.floor
    sides = (max(LEAST_CROP_PX, STRIDE_PX * rounded(factor * side / STRIDE_PX)) for side in (height, width))
    return tuple(int(side) for side in sides)


def write_experiment(**data: Any) -> str:
    """The whole experiment file, YAML, with the reasons beside the values.

    Args:
        data: what choose_recipe gives; `name`; `head`, comment lines without their sign; `data_lines`, indented as they
            stand below `data:`; `claims_255`, whether a class has the value 255; `channels`, `scale`, `mean` and `std`
            (of images scaled to 0..1), None where the defaults hold.
    """
    template = Path(__file__).with_name("experiment.yml.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["because"] = lambda text, comment: f"{text:32}{'' if len(text) < 32 else '  '} # {comment}"
    return environment.from_string(template).render(data, write_flow=write_flow)
