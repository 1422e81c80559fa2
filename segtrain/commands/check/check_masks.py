"""Mask checks: masks that hold what no other mask of the set does: one class alone, nothing but ignored pixels, object
and background exchanged."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.check_values import explicit
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Change, Finding, apply_fix, classes_fix, count_of
from segtrain.commands.check.fixes import swap_values
from segtrain.commands.check.mask_values import IGNORED
from segtrain.commands.check.propose import show_share
from segtrain.commands.check.record import as_written
from segtrain.config.data_schema import ClassConfig

FEWEST = 5  # masks below which nothing is unusual
UNUSUAL = 0.05  # share of the masks that may hold one class alone and still be taken for slips
MOSTLY_IGNORED = 0.95
MUCH_IGNORED = 0.3
AGREE = 0.3  # cosine from which on the contrast of object and background is a property of the set


def find_empty_masks(report: DatasetReport) -> Iterator[Finding]:
    """Masks with nothing but ignored pixels, and masks of one class where others have several."""
    labelling, counts, pixels = report.labelling, report.counts, report.class_pixels
    if labelling.multilabel:
        return
    read = np.array([record.mask is not None for record in report.records], bool)
    ignored = read & (counts[:, IGNORED] > 0) & (counts[:, IGNORED] >= MOSTLY_IGNORED * counts.sum(axis=1))
    if ignored.any() and not ignored[read].all():
        title = f"{count_of(ignored.sum(), 'mask', 'is')} ignored by 95 % or more"
        explanation = (
            "Next to nothing can be learnt from them: perhaps not annotated, or exported wrong. This fix leaves them "
            "out."
        )
        yield report.finding("warning", title, explanation, "set-aside-ignored", masks=np.flatnonzero(ignored).tolist())
    kinds, usual = (pixels > 0).sum(axis=1), read & ~ignored
    alone = np.flatnonzero((kinds == 1) & ~ignored).tolist()
    if usual.sum() < FEWEST or not 0 < len(alone) <= max(1, UNUSUAL * usual.sum()):
        return
    if labelling.binary:
        level, what = "note", f"all '{labelling.names[1]}' or all background"
        explanation = "That is right where the images are so. Look at them."
    elif np.median(kinds[usual]) >= 3:
        level, what = "warning", "of a single class"
        held = sorted({labelling.names[int(pixels[index].argmax())] for index in alone})
        explanation = (
            f"All pixels are {' or '.join(held)}, in a set where the others hold more: an export that failed? If "
            "they are right, leave them."
        )
    else:
        return
    title, explanation = f"{count_of(len(alone), 'mask', 'is')} {what}", f"{explanation} This fix leaves them out."
    yield report.finding(level, title, explanation, "set-aside-one-class", masks=alone)


def find_much_ignored(report: DatasetReport) -> Iterator[Finding]:
    """A large share of ignored pixels in the whole set."""
    read, data = report.read, report.data
    total, ignored = report.counts.sum(), report.counts[:, IGNORED].sum()
    if read is None or ignored <= MUCH_IGNORED * total:
        return
    code = int(read.codes[np.argmax(read.pixels * (report.labelling.indices_of(read.codes) == IGNORED))])
    classes, value = explicit(data.classes), as_written(code, as_color=read.is_color)
    classes.append(ClassConfig(name=f"class_{len(classes) + 1}", **{"color" if read.is_color else "value": value}))
    yield report.finding(
        "note",
        f"{show_share(ignored / total)} of the pixels are ignored",
        f"They are neither trained nor scored; most have the value {value}. If that is a class, the lines make it one.",
        classes_fix(classes, [item for item in data.ignore_values or [] if item != value]),
        marked=[code],
    )


def find_inverted(report: DatasetReport) -> Iterator[Finding]:
    """Masks of an object and its background in which the two are exchanged."""
    labelling, read = report.labelling, report.read
    if len(labelling.names) != 2 or labelling.as_color or read is None:
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
    changes = [Change(file, partial(swap_values, values=codes)) for file in report.masks_of(chosen)]
    yield report.finding(
        "warning",
        f"{count_of(len(chosen), 'mask', 'is')} most likely inverted",
        f"'{labelling.names[1]}' lies where the background lies in the other masks: along the frame, and on its "
        "colours. Look at them in check.html; this fix exchanges the two values.",
        apply_fix("invert-masks", changes) if len(codes) == 2 else None,
        masks=chosen,
    )


def _look_at_object(report: DatasetReport, index: int) -> tuple[float, float, NDArray] | None:
    """The object's share of the pixels and of the frame, and how its mean colour differs from the background's: a
    direction of length 1, or zeros; None where one of the two is missing."""
    record, labelling = report.records[index], report.labelling
    if not record.is_pair or (codes := labelling.codes_of(record.mask)) is None:
        return None
    sides = labelling.indices_of(codes) == [[0], [1]]  # background and object
    counts, tones = record.mask.counts, np.nan_to_num(record.mask.tones)
    pixels, _, frame = (sides @ counts).T
    if not pixels.all() or not frame.any():
        return None
    back, front = sides @ (tones * counts[:, :1]) / pixels[:, None]
    contrast = (front - back) / max(float(np.linalg.norm(front - back)), 1e-6)
    return pixels[1] / pixels.sum(), frame[1] / frame.sum(), contrast


def _describe_all_inverted(report: DatasetReport, share: float) -> Iterator[Finding]:
    name, own = report.labelling.names[1], report.data.classes[-1]
    if not report.labelling.binary or own.values:
        return
    value = own.value if own.value is not None else 1
    yield report.finding(
        "note",
        f"'{name}' surrounds what is called background",
        f"It covers {show_share(share)} of a typical mask and nearly all of its frame. If the object is what has "
        "the value 0, write two classes; with one, 0 is always the background.",
        classes_fix([ClassConfig(name="background", value=value), ClassConfig(name=name, value=0)]),
    )
