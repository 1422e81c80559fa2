"""Mask values that no class of an experiment claims."""

from collections.abc import Sequence

import numpy as np

from segtrain.commands.check.check_values import (
    describe_strays,
    find_ignored_class,
    find_no_masks,
    find_smoothed,
    find_stray_values,
    find_wrong_kind,
    list_values,
    written,
)
from segtrain.commands.check.class_lines import write_classes
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, are, count_of, yaml_fix
from segtrain.commands.check.labelling import IGNORED, UNCLAIMED
from segtrain.commands.check.propose import find_solid, find_strays, is_near, show_share
from segtrain.config.claims import pack_color
from segtrain.config.data_schema import ClassConfig

FEW = 0.01  # share of the pixels that may be of no class before nothing can be said about the classes


def find_wrong_values(report: DatasetReport) -> list[Finding]:
    """All that keeps the values of the masks from being the classes; nothing without an experiment, whose classes are
    then the proposed ones."""
    if report.values is None:
        return []
    no_masks = find_no_masks(report)
    if no_masks:
        return no_masks
    smoothed = find_smoothed(report)
    if report.config is None or report.config.data.multilabel:
        return [*smoothed, *find_stray_values(report)]
    kind = find_wrong_kind(report)
    if kind:
        return [*smoothed, *kind]
    return [*smoothed, *(find_ignored_class(report) or find_unclaimed(report, noisy=bool(smoothed)))]


def classes_fit(report: DatasetReport) -> bool:
    """Whether the masks hold what the classes mean, but for a few slips: only then their shares say something."""
    if report.labelling is None:
        return False
    unclaimed = report.counts[:, UNCLAIMED].sum() > FEW * report.counts.sum()
    return not unclaimed and (report.config is None or not find_ignored_class(report))


def find_unclaimed(report: DatasetReport, *, noisy: bool) -> list[Finding]:
    """Values that no class claims: shifted by one, slips, or a class that was forgotten."""
    read, labelling = report.read, report.labelling
    if read is None:
        return []
    unclaimed = labelling.indices_of(read.codes) == UNCLAIMED
    solid = np.ones(len(read.codes), bool)
    if noisy:  # compression moves a colour that is meant, too
        claimed = np.array(sorted(labelling.claims), np.int64)
        solid = find_solid(read)[0] & ~is_near(read.codes, claimed, is_color=read.is_color)
    rows = np.flatnonzero(unclaimed & solid)
    if not len(rows):
        return []
    shifted = _shifted(report, solid)
    if shifted:
        return shifted
    stray = find_strays(read)
    findings = []
    real = [int(row) for row in rows if not stray[row]]
    if real:
        findings.append(_forgotten(report, real))
    slips = [int(read.codes[row]) for row in rows if stray[row]]
    return [*findings, *([describe_strays(report, slips, "error")] if slips else [])]


def explicit(classes: Sequence[ClassConfig]) -> list[ClassConfig]:
    """Classes with their values written out, so that one more or less moves none."""
    return [
        item
        if item.values or item.value is not None or item.colors or item.color
        else item.model_copy(update={"value": index + (len(classes) == 1)})
        for index, item in enumerate(classes)
    ]


def _shifted(report: DatasetReport, solid: np.ndarray) -> list[Finding]:
    """Masks that count from 1 where the classes count from 0, or the other way round."""
    read, labelling, data = report.read, report.labelling, report.config.data
    if read.is_color or any(item.values for item in data.classes) or len(data.classes) < 2:
        return []
    own = {code: index for code, index in labelling.claims.items() if index != IGNORED}
    ignored = {code for code, index in labelling.claims.items() if index == IGNORED}
    found = set(read.codes[solid].tolist()) - ignored
    for step in (1, -1):
        if found <= {code + step for code in own} and not found <= own.keys() and len(found) > 1:
            break
    else:
        return []
    classes = [
        item.model_copy(update={"value": (index if item.value is None else item.value) + step})
        for index, item in enumerate(data.classes)
    ]
    low, high = min(own), max(own)
    indices = report.holding(found - own.keys())
    return [
        Finding(
            "error",
            f"The masks count from {low + step}, the classes from {low}",
            f"The masks hold {min(found)} to {max(found)}, the classes mean {low} to {high}: every class would be "
            "learnt as its neighbour.",
            yaml_fix(*write_classes(classes)),
            tuple(report.records[index].sample.mask_file for index in indices),
            tuple(indices[:4]),
            frozenset(found - own.keys()),
        )
    ]


def _forgotten(report: DatasetReport, rows: list[int]) -> Finding:
    """Values that look like classes, and are none."""
    read, data = report.read, report.config.data
    codes = [int(read.codes[row]) for row in rows]
    indices = report.holding(codes)
    classes, comments = _with_new(report, rows)
    advice = "The lines make classes of them: give them their names, or write them into ignore_values."
    if not read.is_color and codes == [len(data.classes)] and _is_background(report):
        classes = [ClassConfig(name="background", value=0)]
        classes += [item.model_copy(update={"value": index}) for index, item in enumerate(data.classes, start=1)]
        comments = {}
        advice = (
            "There is one value more than names, and 0 is the most frequent one: the background, which has no name. "
            "The lines name it; the others move up by one."
        )
    return Finding(
        "error",
        f"{count_of(len(codes), 'value')} of the masks {are(len(codes))} no class",
        f"{list_values(read, rows)}: training stops. {advice}",
        yaml_fix(*write_classes(classes, ignore_values=data.ignore_values or [], comments=comments)),
        tuple(report.records[index].sample.mask_file for index in indices),
        tuple(indices[:4]),
        frozenset(codes),
    )


def _is_background(report: DatasetReport) -> bool:
    """Whether the classes are 0, 1, 2, ... in order and 0 is the value with most pixels, but not called background."""
    read, classes = report.read, report.config.data.classes
    in_order = [item.value for item in explicit(classes)] == [*range(len(classes))]
    return in_order and read.codes[np.argmax(read.pixels)] == 0 and "background" not in classes[0].name.lower()


def _with_new(report: DatasetReport, rows: list[int]) -> tuple[list[ClassConfig], dict[str, str]]:
    """The experiment's classes and one for each of these values, with comments on the new ones."""
    read, data, proposal = report.read, report.config.data, report.proposal
    known = {
        pack_color(color): item.name
        for item in (proposal.classes if proposal.known else [])
        for color in item.colors or ([item.color] if item.color else [])
    }
    classes, comments = explicit(data.classes), {}
    for row in rows:
        code = int(read.codes[row])
        taken = {item.name for item in classes}
        name = known.get(code, "") if read.is_color else f"class_{code}"
        if not name or name in taken:
            name = f"class_{len(classes) + 1}"
        key = "color" if read.is_color else "value"
        classes.append(ClassConfig(name=name, **{key: written(code, as_color=read.is_color)}))
        comments[name] = f"{show_share(read.pixels[row] / read.total_pixels)} of the pixels"
    return classes, comments
