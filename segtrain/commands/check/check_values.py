"""Masks whose values are blended, of the wrong kind, or ignored without being meant to be."""

import shlex
from collections.abc import Iterable, Sequence

import numpy as np

from segtrain.commands.check.class_lines import write_classes, write_code
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, Level, are, count_of, leave_out, shell_fix, yaml_fix
from segtrain.commands.check.labelling import IGNORED, UNCLAIMED
from segtrain.commands.check.propose import find_solid, is_near, show_share
from segtrain.commands.check.scripts import snap_masks
from segtrain.commands.check.values import Values
from segtrain.config.data_schema import ClassConfig

_LISTED = 8


def find_no_masks(report: DatasetReport) -> list[Finding]:
    """Files that are no masks of classes at all."""
    proposal, values = report.proposal, report.values
    indices = [index for index, r in enumerate(report.records) if r.mask is not None]
    number = f"{len(values.codes) + values.further_values:,}"
    found = f"They hold {number} {'colours' if values.is_color else 'values'}"
    if proposal.kind == "photographs":
        title, advice = (
            "The masks look like photographs",
            f"{found} and no areas of one. Are images and masks exchanged?",
        )
        if report.folders is not None:
            swapped = [shlex.quote(folder) for folder in reversed(report.folders)]
            fix = shell_fix(f"python -m segtrain check --images {swapped[0]} --masks {swapped[1]}")
        else:
            fix = yaml_fix("data:", "  images: ..   # the folder that data.masks names now", "  masks: ..")
    elif proposal.kind == "instances":
        title, fix = "The masks hold numbers of objects, not classes", None
        advice = (
            f"{found}, most of them in few masks. Export the class of each object instead (semantic, not instance)."
        )
    elif proposal.kind == "nothing" and report.config is None:
        title, fix = "All masks hold one value", None
        only = write_code(int(values.codes[0]), as_color=values.is_color)
        advice = f"It is {only}: there is nothing to learn. Are these the right files?"
    else:
        return []
    files = tuple(report.records[index].sample.mask_file for index in indices)
    return [Finding("error", title, advice, fix, files, tuple(indices[:4]))]


def find_smoothed(report: DatasetReport) -> list[Finding]:
    """Masks whose values were blended by JPEG or by antialiasing."""
    proposal, values = report.proposal, report.values
    if not proposal.cause:
        return []
    labelling, is_color = report.labelling, values.is_color
    codes = proposal.codes.tolist()
    if labelling is not None and labelling.as_color == is_color:
        claimed = np.array(sorted(labelling.claims), np.int64)
        meant = (labelling.indices_of(claimed) != IGNORED) | is_near(claimed, proposal.codes, is_color=is_color)
        codes = [code for code in claimed[meant].tolist() if is_color or 0 <= code <= 255]
    thing = "colours" if is_color else "values"
    found = f"{len(proposal.codes)} {thing} fill areas, {proposal.noise_values:,} others lie between them"
    share = f"{show_share(proposal.noise)} of the pixels"
    titles = {
        "jpeg": f"{count_of(values.lossy, 'mask')} {are(values.lossy)} JPEG",
        "blended": "The values in the masks are blended",
    }
    reasons = {
        "jpeg": "JPEG changes the values of a mask, and training refuses it",
        "blended": "Smoothed edges (antialiasing), resizing, or a JPEG in between leave values that "
        "no class has, or that another class has",
    }
    lossy = [index for index, r in enumerate(report.records) if r.mask is not None and r.mask.file_type == "JPEG"]
    chosen = lossy or [index for index, r in enumerate(report.records) if r.mask is not None]
    return [
        Finding(
            "error",
            titles[proposal.cause],
            f"{reasons[proposal.cause]}: {found} ({share}). Best export them again as PNG without smoothing; the lines "
            f"give each pixel the nearest of the {len(codes)} {thing}.",
            snap_masks(report, chosen, codes, is_color=is_color),
            tuple(report.records[index].sample.mask_file for index in chosen),
            tuple(chosen[:4]),
            frozenset(values.codes[~np.isin(values.codes, codes)].tolist()[:100_000]),
        )
    ]


def find_stray_values(report: DatasetReport) -> list[Finding]:
    """Values that a handful of pixels have, where there is no experiment that claims them."""
    strays = report.proposal.strays
    return [describe_strays(report, strays.tolist(), "warning")] if len(strays) and report.proposal.classes else []


def describe_strays(report: DatasetReport, codes: Sequence[int], level: Level) -> Finding:
    """Values (packed colours) that are slips, and the line that ignores them."""
    read, as_color = report.read, report.read.is_color
    rows = [int(np.searchsorted(read.codes, code)) for code in codes]
    listed = list_values(read, rows)
    old = (report.config.data.ignore_values if report.config is not None else None) or []
    known = old if report.config is not None else report.proposal.ignore_values
    new = [v for v in map(lambda c: written(c, as_color=as_color), codes) if v not in known]
    indices = report.holding(codes)
    return Finding(
        level,
        f"{count_of(len(codes), 'value')} of the masks {are(len(codes))} most likely a slip",
        f"{listed}: a few pixels that the annotator or a program left behind. The line ignores them.",
        yaml_fix("data:", f"  ignore_values: {[*known, *new]}"),
        tuple(report.records[index].sample.mask_file for index in indices),
        tuple(indices[:4]),
        frozenset(codes),
    )


def written(code: int, *, as_color: bool) -> int | list[int]:
    """A value, or a packed colour as [r, g, b]: as an experiment has it."""
    return [code >> 16, code >> 8 & 255, code & 255] if as_color else code


def list_values(values: Values, rows: Iterable[int]) -> str:
    """`77 (3 pixels in 1 mask), ...`."""
    rows = sorted(rows, key=lambda row: -values.pixels[row])
    shown = [
        f"{write_code(int(values.codes[row]), as_color=values.is_color)} "
        f"({count_of(int(values.pixels[row]), 'pixel')} in {count_of(int(values.masks[row]), 'mask')})"
        for row in rows[:_LISTED]
    ]
    return ", ".join(shown) + (f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else "")


def find_wrong_kind(report: DatasetReport) -> list[Finding]:
    """RGB masks where the classes have values, and the other way round."""
    data, proposal = report.config.data, report.proposal
    colored = [index for index, r in enumerate(report.records) if r.mask is not None and r.mask.is_color]
    plain = [index for index, r in enumerate(report.records) if r.mask is not None and not r.mask.is_color]
    as_color, wrong = report.labelling.as_color, colored
    if as_color:
        greys = [p for p in plain if report.records[p].mask.palette is None and report.counts[p][UNCLAIMED]]
        wrong = greys if not any(report.class_pixels[p].sum() for p in greys) else []
    if not wrong:
        return []
    have, want = ("RGB pictures", "values") if not as_color else ("pictures of values", "colours")
    if 2 * len(wrong) < len(colored) + len(plain) or not proposal.classes:
        fix = leave_out([report.records[index].sample for index in wrong], in_folders=report.in_folders)
        advice = "Export them as the others are; the lines leave them out."
    else:
        classes = _renamed(data.classes, proposal.classes)
        fix = yaml_fix(*write_classes(classes, ignore_values=proposal.ignore_values))
        advice = "The lines are what the masks hold; see that every name is in its place."
    return [
        Finding(
            "error",
            f"{count_of(len(wrong), 'mask')} {are(len(wrong))} {have}, but the classes have {want}",
            f"Training stops there. {advice}",
            fix,
            tuple(report.records[index].sample.mask_file for index in wrong),
            tuple(wrong[:4]),
        )
    ]


def _renamed(own: Sequence[ClassConfig], found: Sequence[ClassConfig]) -> list[ClassConfig]:
    """What was found, in the order of the experiment and with its names where colours or names agree; values in their
    order where there are as many."""
    by_color = {tuple(item.color): item.name for item in own if item.color}
    order = [item.name for item in own]
    if all(item.color and tuple(item.color) in by_color for item in found):
        found = [item.model_copy(update={"name": by_color[tuple(item.color)]}) for item in found]
    elif len(own) == len(found) and not any(item.color or item.colors for item in found):
        return [item.model_copy(update={"name": mine.name}) for mine, item in zip(own, found, strict=True)]
    return sorted(found, key=lambda item: order.index(item.name) if item.name in order else len(order))


def find_ignored_class(report: DatasetReport) -> list[Finding]:
    """Masks of 0 and ignore_index, where the second is the object and no pixel is left of the last class."""
    data, read = report.config.data, report.read
    names = report.labelling.names
    if read is None or read.is_color or len(names) != 2 or report.class_pixels[:, 1].sum():
        return []
    solid = set(read.codes[find_solid(read)[0]].tolist())
    if solid != {0, data.ignore_index}:
        return []
    value, name = data.ignore_index, names[1]
    classes = [ClassConfig(name=name, value=value, color=data.classes[-1].color)]
    if len(data.classes) == 2:
        classes.insert(0, ClassConfig(name=names[0], value=0, color=data.classes[0].color))
    share = read.pixels[read.codes == value].sum() / read.total_pixels
    return [
        Finding(
            "error",
            f"'{name}' has no pixel: its value in the masks is {value}, which is ignored",
            f"The masks hold 0 and {value} ({show_share(share)} of the pixels), and {value} is data.ignore_index "
            "unless a class has it.",
            yaml_fix(*write_classes(classes)),
            marked=frozenset({value}),
            records=tuple(report.holding([value])[:4]),
        )
    ]
