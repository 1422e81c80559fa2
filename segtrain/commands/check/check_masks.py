"""Mask checks: masks that hold what no other mask of the set does: one class alone, nothing but ignored pixels, object
and background exchanged."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.check_values import explicit
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, Level, apply_fix, are, count_of, yaml_fix
from segtrain.commands.check.fixes import swap
from segtrain.commands.check.mask_values import IGNORED
from segtrain.commands.check.propose import show_share
from segtrain.commands.check.record import as_written
from segtrain.commands.check.yaml_lines import write_classes
from segtrain.config.data_schema import ClassConfig

FEWEST = 5  # masks below which nothing is unusual
UNUSUAL = 0.05  # share of the masks that may hold one class alone and still be taken for slips
MOSTLY_IGNORED = 0.95
MUCH_IGNORED = 0.3
AGREE = 0.3  # cosine from which on the contrast of object and background is a property of the set


def find_empty_masks(report: DatasetReport) -> Iterator[Finding]:
    """Masks with nothing but ignored pixels, and masks of one class where others have several."""
    labelling, counts, pixels = report.labelling, report.counts, report.class_pixels
    if labelling is None or labelling.multilabel:
        return
    read = np.array([record.mask is not None for record in report.records], bool)
    ignored = read & (counts[:, IGNORED] > 0) & (counts[:, IGNORED] >= MOSTLY_IGNORED * counts.sum(axis=1))
    if ignored.any() and not ignored[read].all():
        explanation = "Next to nothing can be learnt from them: perhaps not annotated, or exported wrong."
        found = np.flatnonzero(ignored)
        yield _left_out(report, "ignored", "warning", found, "ignored by 95 % or more", explanation)
    kinds, usual = (pixels > 0).sum(axis=1), read & ~ignored
    alone = np.flatnonzero((kinds == 1) & ~ignored)
    if 0 < len(alone) <= max(1, UNUSUAL * usual.sum()) and usual.sum() >= FEWEST:
        if labelling.binary:
            title = f"all '{labelling.names[1]}' or all background"
            explanation = "That is right where the images are so. Look at them."
            yield _left_out(report, "one-class", "note", alone, title, explanation)
        elif np.median(kinds[usual]) >= 3:
            held = sorted({labelling.names[int(pixels[index].argmax())] for index in alone})
            explanation = (
                f"All pixels are {' or '.join(held)}, in a set where the others hold more: an export that failed? If "
                "they are right, leave them."
            )
            yield _left_out(report, "one-class", "warning", alone, "of a single class", explanation)


def _left_out(
    report: DatasetReport, name: str, level: Level, indices: NDArray, title: str, explanation: str
) -> Finding:
    number = len(indices)
    return Finding(
        level,
        f"{count_of(number, 'mask')} {are(number)} {title}",
        f"{explanation} This fix leaves them out.",
        report.leave_out(f"set-aside-{name}", indices),
        report.masks_of(indices),
        indices.tolist(),
    )


def find_much_ignored(report: DatasetReport) -> Iterator[Finding]:
    """A large share of ignored pixels in the whole set."""
    read, labelling, config, proposal = report.read, report.labelling, report.config, report.proposal
    total, ignored = report.counts.sum(), report.counts[:, IGNORED].sum()
    if labelling is None or read is None or ignored <= MUCH_IGNORED * total:
        return
    code = int(read.codes[np.argmax(read.pixels * (labelling.indices_of(read.codes) == IGNORED))])
    classes = explicit(config.data.classes if config is not None else proposal.classes)
    old = config.data.ignore_values or [] if config is not None else proposal.ignore_values
    value = as_written(code, as_color=read.is_color)
    new = ClassConfig(name=f"class_{len(classes) + 1}", **{"color" if read.is_color else "value": value})
    yield Finding(
        "note",
        f"{show_share(ignored / total)} of the pixels are ignored",
        f"They are neither trained nor scored; most have the value {value}. If that is a class, the lines make it one.",
        yaml_fix(*write_classes([*classes, new], [item for item in old if item != value])),
        marked=frozenset({code}),
    )


def find_inverted(report: DatasetReport) -> Iterator[Finding]:
    """Masks of an object and its background in which the two are exchanged."""
    labelling, read = report.labelling, report.read
    if labelling is None or len(labelling.names) != 2 or labelling.as_color or read is None:
        return
    seen = {index: _look_at_object(report, index) for index in range(len(report.records))}
    seen = {index: found for index, found in seen.items() if found is not None}
    if len(seen) < FEWEST:
        return
    share, frame, contrast = (np.array(column) for column in zip(*seen.values(), strict=True))
    if np.median(frame) > 0.8 and np.median(share) > 0.6:
        yield from _describe_all_inverted(report, float(np.median(share)))
        return
    odd = (share > 0.5) & (frame > 0.5) & (np.median(share) < 0.5) & (np.median(frame) < 0.5)
    usual = contrast[~odd].mean(axis=0) if (~odd).any() else np.zeros(3)
    alike = contrast @ (usual / max(np.linalg.norm(usual), 1e-6))
    if np.median(alike[~odd]) > AGREE:
        odd &= alike < 0
    else:
        odd &= (frame > 0.8) & (np.median(frame) < 0.3)
    chosen = np.array([*seen])[odd].tolist()
    if not chosen:
        return
    codes = [code for code in read.codes.tolist() if labelling.claims.get(code, IGNORED) != IGNORED]
    files = report.masks_of(chosen)
    yield Finding(
        "warning",
        f"{count_of(len(chosen), 'mask')} {are(len(chosen))} most likely inverted",
        f"'{labelling.names[1]}' lies where the background lies in the other masks: along the frame, and on its "
        "colours. Look at them in check.html; this fix exchanges the two values.",
        apply_fix("invert-masks", [swap(file, *codes) for file in files]) if len(codes) == 2 else None,
        files,
        chosen,
    )


def _look_at_object(report: DatasetReport, index: int) -> tuple[float, float, NDArray] | None:
    """The object's share of the pixels and of the frame, and how its mean colour differs from the background's: a
    direction of length 1, or zeros; None where one of the two is missing."""
    record, labelling = report.records[index], report.labelling
    if not record.is_pair or (codes := labelling.codes_of(record.mask)) is None:
        return None
    which, counts = labelling.indices_of(codes), record.mask.counts
    pixels, frame = (np.array([counts[which == side, column].sum() for side in (0, 1)]) for column in (0, 2))
    if not pixels.all() or not frame.any():
        return None
    tones = np.nan_to_num(record.mask.tones)
    back, front = ((tones[which == side] * counts[which == side, :1]).sum(axis=0) / pixels[side] for side in (0, 1))
    contrast = (front - back) / max(float(np.linalg.norm(front - back)), 1e-6)
    return pixels[1] / pixels.sum(), frame[1] / frame.sum(), contrast


def _describe_all_inverted(report: DatasetReport, share: float) -> Iterator[Finding]:
    labelling, config = report.labelling, report.config
    own = config.data.classes if config is not None else report.proposal.classes
    if not labelling.binary or own[-1].values:
        return
    value = own[-1].value if own[-1].value is not None else 1
    classes = [ClassConfig(name="background", value=value), ClassConfig(name=labelling.names[1], value=0)]
    yield Finding(
        "note",
        f"'{labelling.names[1]}' surrounds what is called background",
        f"It covers {show_share(share)} of a typical mask and nearly all of its frame. If the object is what has "
        "the value 0, write two classes; with one, 0 is always the background.",
        yaml_fix(*write_classes(classes)),
    )
