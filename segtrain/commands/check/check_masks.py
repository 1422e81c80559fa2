"""Masks that hold what no other mask of the set does: one class alone, nothing but ignored pixels, object and
background exchanged."""

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.check_claims import explicit
from segtrain.commands.check.check_values import written
from segtrain.commands.check.class_lines import write_classes, write_code
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, are, count_of, leave_out, yaml_fix
from segtrain.commands.check.labelling import IGNORED
from segtrain.commands.check.propose import show_share
from segtrain.commands.check.scripts import swap_values
from segtrain.config.data_schema import ClassConfig

FEWEST = 5  # masks below which nothing is unusual
UNUSUAL = 0.05  # share of the masks that may hold one class alone and still be taken for slips
MOSTLY_IGNORED = 0.95
MUCH_IGNORED = 0.3
AGREE = 0.3  # cosine from which on the contrast of object and background is a property of the set


def find_empty_masks(report: DatasetReport) -> list[Finding]:
    """Masks with nothing but ignored pixels, and masks of one class where others have several."""
    counts, records = report.counts, report.records
    if report.labelling is None or report.labelling.multilabel:
        return []
    labelled = report.class_pixels.sum(axis=1)
    read = np.array([record.mask is not None for record in records], bool)
    ignored = read & (counts[:, IGNORED] > 0) & (counts[:, IGNORED] >= MOSTLY_IGNORED * counts.sum(axis=1))
    findings = []
    if ignored.any() and not ignored[read].all():
        findings.append(
            _left_out(
                report,
                np.flatnonzero(ignored),
                "{} {} ignored by 95 % or more",
                "Next to nothing can be learnt from them: perhaps not annotated, or exported wrong.",
            )
        )
    kinds = (report.class_pixels > 0).sum(axis=1)
    alone = np.flatnonzero((labelled > 0) & (kinds == 1) & ~ignored)
    usual = read & ~ignored
    few = 0 < len(alone) <= max(1, UNUSUAL * usual.sum()) and usual.sum() >= FEWEST
    if few and report.labelling.binary:
        findings.append(_without_object(report, alone))
    elif few and np.median(kinds[usual]) >= 3:
        held = {report.labelling.names[int(report.class_pixels[index].argmax())] for index in alone}
        findings.append(
            _left_out(
                report,
                alone,
                "{} {} one class alone",
                f"All pixels are {' or '.join(sorted(held))}, in a set where the others hold more: an export that "
                "failed? If they are right, leave them.",
            )
        )
    return findings


def _without_object(report: DatasetReport, indices: NDArray) -> Finding:
    """Masks of background alone, or of nothing but the object, in a binary set that has few of them."""
    samples = [report.records[index].sample for index in indices]
    name = report.labelling.names[1]
    return Finding(
        "note",
        f"{count_of(len(samples), 'mask')} {are(len(samples))} all '{name}' or all background",
        "That is right where the images are so. Look at them; the lines leave them out.",
        leave_out(samples, in_folders=report.in_folders),
        tuple(sample.mask_file for sample in samples),
        tuple(indices.tolist()),
    )


def _left_out(report: DatasetReport, indices: NDArray, title: str, explanation: str) -> Finding:
    samples = [report.records[index].sample for index in indices]
    return Finding(
        "warning",
        title.format(count_of(len(samples), "mask"), are(len(samples))),
        f"{explanation} The lines leave them out.",
        leave_out(samples, in_folders=report.in_folders),
        tuple(sample.mask_file for sample in samples),
        tuple(indices.tolist()),
    )


def find_much_ignored(report: DatasetReport) -> list[Finding]:
    """A large share of ignored pixels in the whole set."""
    total, ignored = report.counts.sum(), report.counts[:, IGNORED].sum()
    if report.labelling is None or report.read is None or ignored <= MUCH_IGNORED * total:
        return []
    read, labelling = report.read, report.labelling
    row = max(
        (row for row, index in enumerate(labelling.indices_of(read.codes)) if index == IGNORED),
        key=lambda row: read.pixels[row],
    )
    code, as_color = int(read.codes[row]), read.is_color
    config, proposal = report.config, report.proposal
    classes = explicit(config.data.classes if config is not None else proposal.classes)
    old = config.data.ignore_values or [] if config is not None else proposal.ignore_values
    value = written(code, as_color=as_color)
    new = ClassConfig(name=f"class_{len(classes) + 1}", **{"color" if as_color else "value": value})
    return [
        Finding(
            "note",
            f"{show_share(ignored / total)} of the pixels are ignored",
            f"They are neither trained nor scored; most have the value {write_code(code, as_color=as_color)}. If that "
            "is a class, the lines make it one.",
            yaml_fix(*write_classes([*classes, new], ignore_values=[item for item in old if item != value])),
            marked=frozenset({code}),
        )
    ]


def find_inverted(report: DatasetReport) -> list[Finding]:
    """Masks of an object and its background in which the two are exchanged."""
    labelling, read = report.labelling, report.read
    if labelling is None or len(labelling.names) != 2 or labelling.as_color or read is None:
        return []
    looked = [_object_of(report, index) for index in range(len(report.records))]
    indices = [index for index, seen in enumerate(looked) if seen is not None]
    if len(indices) < FEWEST:
        return []
    share, frame = (np.array([looked[index][column] for index in indices]) for column in (0, 1))
    contrast = np.array([looked[index][2] for index in indices])
    if np.median(frame) > 0.8 and np.median(share) > 0.6:
        return _all_inverted(report, float(np.median(share)))
    odd = (share > 0.5) & (frame > 0.5) & (np.median(share) < 0.5) & (np.median(frame) < 0.5)
    usual = contrast[~odd].mean(axis=0) if (~odd).any() else np.zeros(3)
    alike = contrast @ (usual / max(np.linalg.norm(usual), 1e-6))
    if np.median(alike[~odd]) > AGREE:
        odd &= alike < 0
    else:
        odd &= (frame > 0.8) & (np.median(frame) < 0.3)
    chosen = [index for index, is_odd in zip(indices, odd, strict=True) if is_odd]
    if not chosen:
        return []
    codes = [int(code) for code in read.codes if labelling.claims.get(int(code), IGNORED) != IGNORED]
    files = [report.records[index].sample.mask_file for index in chosen]
    fix = swap_values(files, *codes) if len(codes) == 2 else None
    return [
        Finding(
            "warning",
            f"{count_of(len(chosen), 'mask')} {are(len(chosen))} most likely inverted",
            f"'{labelling.names[1]}' lies where the background lies in the other masks: along the frame, and on its "
            "colours. Look at them in check.html; the lines exchange the two values.",
            fix,
            tuple(files),
            tuple(chosen),
        )
    ]


def _object_of(report: DatasetReport, index: int) -> tuple[float, float, NDArray] | None:
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


def _all_inverted(report: DatasetReport, share: float) -> list[Finding]:
    labelling, config = report.labelling, report.config
    own = config.data.classes if config is not None else report.proposal.classes
    if not labelling.binary or own[-1].values:
        return []
    value = own[-1].value if own[-1].value is not None else 1
    classes = [ClassConfig(name="background", value=value), ClassConfig(name=labelling.names[1], value=0)]
    return [
        Finding(
            "note",
            f"'{labelling.names[1]}' surrounds what is called background",
            f"It covers {show_share(share)} of a typical mask and nearly all of its frame. If the object is what has "
            "the value 0, write two classes; with one, 0 is always the background.",
            yaml_fix(*write_classes(classes)),
        )
    ]
