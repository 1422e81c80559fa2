"""Same classes: those that have other values in other masks."""

from collections.abc import Iterator

import numpy as np

from segtrain.commands.check.dataset_report import DatasetReport, list_values
from segtrain.commands.check.finding import Finding, explicit, make_class
from segtrain.commands.check.mask_kinds import find_stretched


def find_same_class(report: DatasetReport) -> Iterator[Finding]:
    """Values of different masks that are one class, where the experiment does not say so."""
    same, data, read = report.proposal.same, report.data, report.values
    if not same or report.labeling is None or report.labeling.multilabel or report.labeling.as_color:
        return
    indices = set(report.labeling.indices_of(np.array(same)).tolist())
    if report.config is not None and (len(indices) == 1 or {*same} & {*(data.ignore_values or [])}):
        return
    classes = list(report.proposal.classes)
    if report.config is not None:
        own = max(indices)  # the class of one of the values; IGNORED and UNCLAIMED are below 0
        classes = [
            item.model_copy(update={"value": None, "values": same}) if index == own else item
            for index, item in enumerate(explicit(data.classes), start=report.labeling.binary)
        ]
        classes = classes if own >= report.labeling.binary else list(report.proposal.classes)
    held = list_values(read, np.searchsorted(read.codes, same))
    yield report.finding(
        "error",
        f"One class has the values {' and '.join(map(str, same))}",
        f"{held}: each mask has areas of only one of them. The lines below make them one class; to ignore one, add "
        f"it to data.ignore_values.",
        report.classes_fix(classes, [value for value in data.ignore_values or [] if value not in same]),
        masks=report.holding(same),
        marked=same,
    )


def find_stretched_classes(report: DatasetReport) -> Iterator[Finding]:
    """Masks of the class indices 1, 2, .. beside masks in which the same are stretched to 255."""
    pairs = find_stretched([report.records[index].mask for index in report.masked])
    labeling, data = report.labeling, report.data
    if not pairs or labeling is None or labeling.multilabel or labeling.as_color:
        return
    low, high = (labeling.indices_of(np.array([*values])).tolist() for values in (pairs, pairs.values()))
    if report.config is not None and low == high:
        return
    names = {value: f"class_{value}" for value in pairs}
    if report.config is not None:
        names |= {value: labeling.names[index] for value, index in zip(pairs, low, strict=True) if index >= 0}
    zero = labeling.names[0] if report.config is not None else "background"
    classes = [make_class(zero, "value", [0])] + [make_class(names[k], "value", [k, pairs[k]]) for k in pairs]
    shown = [", ".join(map(str, values)) for values in (pairs, pairs.values())]
    yield report.finding(
        "error",
        f"Some masks have {shown[0]}, and others {shown[1]}",
        "They are most likely the same classes, stretched to be visible. The lines below merge them.",
        report.classes_fix(classes, [value for value in data.ignore_values or [] if value not in pairs.values()]),
        masks=report.holding([*pairs.values()]),
        marked=[*pairs.values()],
    )
