"""Value checks: masks whose values are blended, of the wrong kind, ignored by accident, or claimed by no class."""

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from segtrain.commands.check.check_ignored import find_ignored_class
from segtrain.commands.check.check_same import find_same_class, find_stretched_classes
from segtrain.commands.check.dataset_report import DatasetReport, list_values
from segtrain.commands.check.examine import as_written
from segtrain.commands.check.finding import (
    Change,
    Finding,
    Fix,
    Level,
    apply_fix,
    explicit,
    yaml_fix,
)
from segtrain.commands.check.fixes import snap_pixels
from segtrain.commands.check.mask_values import (
    IGNORED,
    NO_DATA,
    UNCLAIMED,
    find_solid,
    find_strays,
    is_near,
    show_share,
)
from segtrain.config.data_schema import LARGEST_VALUE, ClassConfig, is_in_range
from segtrain.data.statistics import find_other_colors
from segtrain.errors import count_of

FEW = 0.01  # share of the pixels that may be of no class before nothing can be said about the classes


def find_wrong_values(report: DatasetReport) -> Iterator[Finding]:
    """All that keeps the values of the masks from being the classes; without an experiment, whose classes are then the
    proposed ones, slips and what is not a mask at all."""
    ignored = find_ignored_class(report)
    if report.values is None:
        if ignored and ignored.level == "error":
            yield ignored
        if report.masked and (report.config is None or not report.config.data.multilabel):
            advice = "All pixels have the value that the files declare as nodata, so there is nothing to learn."
            yield report.finding("error", "The masks contain no data", advice, masks=report.masked)
        return
    no_masks = _find_no_masks(report)
    if no_masks:
        yield no_masks
        return
    far = _find_no_data(report)
    if far:
        yield far
    if far and far.level == "error":
        return
    smoothed = _find_smoothed(report)
    if smoothed:
        yield smoothed
    yield from find_same_class(report)
    yield from find_stretched_classes(report)
    if report.config is None or report.config.data.multilabel:
        wrong = _find_wrong_kind(report) if report.proposal.classes else None
        if wrong:
            yield wrong
        if report.proposal.classes and len(report.proposal.strays):
            yield _describe_strays(report, report.proposal.strays.tolist(), "warning")
        return
    wrong = _find_wrong_kind(report) or (ignored if ignored and ignored.level == "error" else None)
    if wrong:
        yield wrong
    else:
        yield from _find_unclaimed(report, noisy=smoothed is not None)


def find_palettes(report: DatasetReport) -> Iterator[Finding]:
    """Palettes that give a value different colors, where the classes are values, or were proposed."""
    labeling, proposal = report.labeling, report.proposal
    if proposal is None or (report.config is not None and (labeling.multilabel or labeling.as_color)):
        return
    masks = [report.records[index].mask for index in report.masked]
    pairs = {
        (code, tuple(as_written(color, as_color=True))): report.records[index].sample.mask_file
        for index, mask in reversed([*zip(report.masked, masks, strict=True)])  # the first file of each
        if mask.palette is not None
        for code, color in zip(mask.codes.tolist(), mask.palette.tolist(), strict=True)
    }
    for line in find_other_colors(pairs):
        by_color = report.values.is_color and bool(proposal.classes)
        classes = _renamed(report.data.classes, proposal.classes) if report.config is not None else proposal.classes
        advice = "Read by value, one color is several classes; the lines below read the masks by color."
        yield report.finding(
            "error" if by_color else "warning",
            "The palettes of the masks differ",
            f"{line.partition(';')[0][0].upper()}{line.partition(';')[0][1:]}. "
            + (advice if by_color else "The colors differ between the masks, so the values are used as the classes."),
            report.classes_fix(classes, proposal.ignore_values) if by_color else None,
            masks=[index for index in report.masked if report.records[index].mask.palette is not None],
        )


def classes_fit(report: DatasetReport) -> bool:
    """Whether the masks hold what the classes mean, but for a few slips: only then their shares say something."""
    if report.labeling is None or report.counts[:, UNCLAIMED].sum() > FEW * report.counts.sum():
        return False
    ignored = find_ignored_class(report)
    return ignored is None or ignored.level != "error"


def _find_no_masks(report: DatasetReport) -> Finding | None:
    """Files that are not masks of classes."""
    proposal, values = report.proposal, report.values
    number = f"{len(values.codes) + values.further_values:,}"
    found = f"They contain {number} {'colors' if values.is_color else 'values'}"
    fix = None
    if proposal.kind == "photographs":
        title, advice = (
            "The masks look like photographs",
            (f"{found} and no uniform areas. Are images and masks swapped?"),
        )
        if report.source.folders is not None:
            images, masks = map(shlex.quote, report.source.folders)
            fix = Fix("run", [f"python -m segtrain check --images {masks} --masks {images}"])
        else:
            given = report.config.data.arguments
            if report.config.data.format == "csv":
                columns = {"image_column": given.get("mask_column", "mask")}
                fix = yaml_fix(data=columns | {"mask_column": given.get("image_column", "image")})
            elif {"images", "masks"} <= given.keys():
                fix = yaml_fix(data={"images": given["masks"], "masks": given["images"]})
    elif proposal.kind == "instances":
        title = "The masks contain object ids, not classes"
        advice = (
            f"{found}, most of them in few masks. Export the class of each object instead (semantic, not instance, "
            f"masks)."
        )
    elif proposal.kind == "outside":
        title = "The masks contain values that no class can have"
        advice = (
            f"{found}, {as_written(int(values.codes[0]), as_color=False)} to "
            f"{as_written(int(values.codes[-1]), as_color=False)}; mask values are 0 to {LARGEST_VALUE}. Export them "
            f"again."
        )
    elif proposal.kind == "nothing" and report.config is None:
        title = "All masks contain a single value"
        only = as_written(int([*proposal.codes, 0][0]), as_color=values.is_color)
        advice = f"It is {only}, so there is nothing to learn. Are these the right files?"
        if len(values.codes) > 1:
            title = "The masks contain a single value, except for edges and a few pixels"
            advice = f"{found}, and only {only} fills areas. " + (
                "Export them again as PNG, without smoothing; if only one channel contains the classes, write "
                "data.mask_band: 1 for red."
                if values.is_color
                else "Are these the right files?"
            )
    else:
        return None
    return report.finding("error", title, advice, fix, masks=report.masked)


def _find_no_data(report: DatasetReport) -> Finding | None:
    """Values outside 0..65535 that neither a file nor the experiment notes as no data: training refuses them."""
    values = report.values
    far = [code for code in values.codes.tolist() if not (values.is_color or is_in_range(code))]
    if not far:
        return None
    written = [as_written(code, as_color=False) for code in far]
    usual = all(code < 0 or code >= NO_DATA for code in far)
    ignored = [item for item in (report.data.ignore_values if report.data else None) or [] if item not in written]
    return report.finding(
        "warning" if usual and -1 not in far and report.config is None else "error",
        "The masks contain values that no class can have",
        f"{list_values(values, np.searchsorted(values.codes, far))}; mask values are 0 to {LARGEST_VALUE}. "
        + ("If they mean nodata, the line below ignores them; otherwise e" if usual else "E")
        + "xport the masks again.",
        yaml_fix(data={"ignore_values": [*ignored, *written]}) if usual else None,
        masks=[i for i in report.masked if np.isin(report.records[i].mask.codes, far).any()],
    )


def _find_smoothed(report: DatasetReport) -> Finding | None:
    """Masks whose values were blended by JPEG or by antialiasing."""
    proposal, values, labeling = report.proposal, report.values, report.labeling
    if not proposal.cause:
        return None
    is_color, codes = values.is_color, proposal.codes.tolist()
    if labeling is not None and labeling.as_color == is_color:
        claimed = np.array(sorted(labeling.claims), np.int64)
        meant = (labeling.indices_of(claimed) != IGNORED) | is_near(claimed, proposal.codes, is_color=is_color)
        known = [code for code in claimed[meant].tolist() if is_color or 0 <= code <= 255]
        apart = all(is_near(claimed, claimed[meant][[i]], is_color=is_color).sum() == 1 for i in range(meant.sum()))
        codes = known if apart or len(codes) < 2 else codes  # 0 and 1 are one in a JPEG of 0 and 255
    thing = "colors" if is_color else "values"
    if proposal.cause == "jpeg":
        title = f"{count_of(values.lossy, 'mask', 'is')} JPEG"
        reason = "JPEG changes the values of a mask, so training rejects it"
    else:
        title = "The values in the masks are blended"
        reason = (
            "Smoothed edges (antialiasing), resizing, or an intermediate JPEG create values that belong to no class "
            "or to another class"
        )
    chosen = report.where(lambda r: r.mask and r.mask.file_type == "JPEG") or report.masked
    change = partial(snap_pixels, values=[as_written(code, as_color=is_color) for code in codes])
    explanation = (
        f"{reason}: {len(proposal.codes)} {thing} fill areas, {proposal.noise_values:,} others are in between "
        f"({show_share(proposal.noise)} of the pixels). Exporting them again as PNG without smoothing is best; this "
        f"fix gives each pixel the nearest of the {len(codes)} {thing}."
    )
    blended = values.codes[~np.isin(values.codes, codes)].tolist()[:100_000]
    fix = apply_fix("snap-masks", [Change(file, change, ".png") for file in report.masks_of(chosen)])
    return report.finding("error", title, explanation, fix, masks=chosen, marked=blended)


def _describe_strays(report: DatasetReport, codes: Sequence[int], level: Level) -> Finding:
    """Values (packed colors) that are slips, and the line that ignores them."""
    read = report.read
    known = report.data.ignore_values or []
    new = [value for code in codes if (value := as_written(code, as_color=read.is_color)) not in known]
    return report.finding(
        level,
        f"{count_of(len(codes), 'mask value', 'is')} most likely a mistake",
        f"{list_values(read, np.searchsorted(read.codes, codes))}: a few pixels that the annotator or a program left "
        f"behind. The line below ignores them.",
        yaml_fix(data={"ignore_values": [*known, *new]}),
        masks=report.holding(codes),
        marked=codes,
    )


def _find_wrong_kind(report: DatasetReport) -> Finding | None:
    """RGB masks where the classes have values, and the other way round."""
    data, proposal = report.data, report.proposal
    if report.labeling.as_color:
        have, want = "images of values", "colors"
        plain = report.where(lambda r: r.mask and not r.mask.is_color and r.mask.palette is None)
        wrong = [index for index in plain if report.counts[index][UNCLAIMED]]
        if any(report.class_pixels[index].sum() for index in wrong):
            return None
    else:
        have, want = "RGB images", "values"
        wrong = report.where(lambda r: r.mask and (r.mask.is_color or r.mask.band))
    if not wrong:
        return None
    have = "in the alpha channel" if all(report.records[index].mask.band for index in wrong) else have
    as_most = report.values.is_color == report.labeling.as_color and proposal.mask_band is None
    if as_most or not proposal.classes:
        fix, advice = "set-aside-other-kind", "Export them like the others."
    elif proposal.mask_band is not None and {*proposal.codes.tolist()} <= report.labeling.claims.keys():
        fix = yaml_fix(data={"mask_band": proposal.mask_band})
        advice = "One of their channels contains the values, the others are empty."
    else:
        band = {} if proposal.mask_band is None else {"mask_band": proposal.mask_band}
        fix = report.classes_fix(_renamed(data.classes, proposal.classes), proposal.ignore_values, **band)
        advice = "The lines below match the masks; check that every name is at its value."
    title = f"{count_of(len(wrong), 'mask', 'is')} {have}, but the classes have {want}"
    return report.finding("error", title, f"Training stops here. {advice}", fix, masks=wrong)


def _renamed(own: Sequence[ClassConfig], found: Sequence[ClassConfig]) -> list[ClassConfig]:
    """What was found, in the order of the experiment and with its names where colors or names agree; values in their
    order where there are as many."""
    by_color = {tuple(item.color): item.name for item in own if item.color}
    order = [item.name for item in own]
    if all(item.color and tuple(item.color) in by_color for item in found):
        found = [item.model_copy(update={"name": by_color[tuple(item.color)]}) for item in found]
    elif len(own) == len(found) and not any(item.color or item.colors for item in found):
        return [item.model_copy(update={"name": mine.name}) for mine, item in zip(own, found, strict=True)]
    return sorted(found, key=lambda item: order.index(item.name) if item.name in order else len(order))


def _find_unclaimed(report: DatasetReport, *, noisy: bool) -> Iterator[Finding]:
    """Values that no class claims: shifted by one, slips, or a class that was forgotten."""
    read, labeling = report.read, report.labeling
    if read is None:
        return
    solid = np.ones(len(read.codes), bool)
    if noisy:  # compression moves a color that is meant, too
        claimed = np.array(sorted(labeling.claims), np.int64)
        solid = find_solid(read)[0] & ~is_near(read.codes, claimed, is_color=read.is_color)
    unclaimed = (labeling.indices_of(read.codes) == UNCLAIMED) & solid
    shifted = _find_shifted(report, set(read.codes[solid].tolist())) if unclaimed.any() else None
    if shifted:
        yield shifted
        return
    stray = find_strays(read)
    if (unclaimed & ~stray).any():
        yield _describe_forgotten(report, np.flatnonzero(unclaimed & ~stray).tolist())
    if (unclaimed & stray).any():
        yield _describe_strays(report, read.codes[unclaimed & stray].tolist(), "error")


def _find_shifted(report: DatasetReport, found: set[int]) -> Finding | None:
    """Masks that count from 1 where the classes count from 0, or the other way round."""
    labeling, data = report.labeling, report.config.data
    if labeling.as_color or any(item.values for item in data.classes) or len(data.classes) < 2:
        return None
    own = {code for code, index in labeling.claims.items() if index != IGNORED}
    found = found - (labeling.claims.keys() - own)
    fitting = [step for step in (1, -1) if found <= {code + step for code in own}]
    if not fitting or found <= own or len(found) < 2:
        return None
    step, low = fitting[0], min(own)
    classes = [item.model_copy(update={"value": item.value + step}) for item in explicit(data.classes)]
    title = f"The masks count from {low + step}, the classes from {low}"
    explanation = (
        f"The masks contain {min(found)} to {max(found)}, but the classes {low} to {max(own)}: every class would be "
        f"learned as its neighbor."
    )
    wrong = found - own
    return report.finding(
        "error",
        title,
        explanation,
        report.classes_fix(classes, data.ignore_values or []),
        masks=report.holding(wrong),
        marked=wrong,
    )


def _describe_forgotten(report: DatasetReport, rows: list[int]) -> Finding:
    """Values that look like classes and are not listed."""
    read, data = report.read, report.config.data
    codes = read.codes[rows].tolist()
    classes = report.with_new(codes)
    advice = "The lines below make them classes: name them, or move them to ignore_values."
    in_order = [item.value for item in explicit(data.classes)] == [*range(len(data.classes))]
    most_is_0 = read.codes[np.argmax(read.pixels)] == 0 and "background" not in data.classes[0].name.lower()
    if not read.is_color and codes == [len(data.classes)] and in_order and most_is_0:
        classes = [ClassConfig(name="background", value=0)]
        classes += [item.model_copy(update={"value": index}) for index, item in enumerate(data.classes, start=1)]
        advice = (
            "There is one more value than names, and 0 is the most frequent: the background, which has no name. The "
            "lines below name it; the others move up by one."
        )
    title = f"{count_of(len(codes), 'mask value', 'belongs')} to no class"
    explanation = f"{list_values(read, rows)}: training stops here. {advice}"
    fix = report.classes_fix(classes, data.ignore_values or [])
    return report.finding("error", title, explanation, fix, masks=report.holding(codes), marked=codes)
