"""Class checks: classes that a split lacks, that hardly occur, or that need a weight; masks that hold what no other
mask of the set does: one class alone, nothing but ignored pixels, object and background exchanged."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.check_ignored import find_ignored_class
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import as_written
from segtrain.commands.check.finding import Change, Finding, Fix, apply_fix, explicit, yaml_fix
from segtrain.commands.check.fixes import swap_values
from segtrain.commands.check.mask_values import IGNORED, STRAY_PIXELS, STRAY_SHARE, show_share
from segtrain.config.data_schema import ClassConfig
from segtrain.errors import count_of, name_some
from segtrain.losses.build import compute_class_weights

RARE = 0.01  # share of the pixels below which a class is easily never predicted
WEIGHTED = frozenset({"class_weights", "pos_weight", "alpha", "weight"})
REGION_LOSSES = frozenset({"DiceLoss", "JaccardLoss", "TverskyLoss", "FocalTverskyLoss", "LovaszLoss", "MCCLoss"})
FOLDS = 5
FEWEST = 5  # masks below which nothing is unusual
UNUSUAL = 0.05  # share of the masks that may hold one class alone and still be taken for slips
MOSTLY_IGNORED = 0.95
AGREE = 0.3  # cosine from which on the contrast of object and background is a property of the set
_LISTED = 6


def find_missing_classes(report: DatasetReport) -> Iterator[Finding]:
    """Classes without a pixel in a split, or in all of them."""
    if not report.class_pixels.any():
        return
    names, slips = np.array(report.labeling.names, object), _are_slips(report)
    present = {split: report.class_pixels[indices].sum(axis=0) > 0 for split, indices in report.splits.items()}
    anywhere = np.any([*present.values()], axis=0)
    ignored = find_ignored_class(report)
    if ignored:
        yield ignored
    elif not anywhere.all() and report.config is not None:
        nowhere = names[~anywhere].tolist()
        fix = None if report.labeling.multilabel or report.is_published else _without(report, nowhere)
        yield report.finding(
            "warning",
            f"No mask has a pixel of {name_some(nowhere, _LISTED)}",
            "A model cannot learn it, which lowers the score. Are the values in data.classes correct?"
            + (" If this dataset does not have that class, remove it, as the lines below do." if fix else ""),
            fix,
        )
    for split, there in present.items():
        missing = np.flatnonzero(anywhere & ~there & ~slips)
        if len(missing):
            yield _describe_missing(report, split, missing)


def _describe_missing(report: DatasetReport, split: str, missing: np.ndarray) -> Finding:
    """Classes, by their indices, that a split lacks and another has."""
    names, config = [report.labeling.names[index] for index in missing], report.config
    meaning = {"train": "A model cannot learn what validation scores.", "val": "What the model learns is never scored."}
    having = np.flatnonzero((report.class_pixels[:, missing] > 0).any(axis=1))
    unfolded = split in ("train", "val") and (config is None or config.data.folds is None)
    if unfolded and not report.is_published and len(report.records) >= FOLDS and len(having) > 1:
        fix = yaml_fix(data={"folds": FOLDS})
        advice = "The lines below split the training and validation images again, with every class in both."
    else:
        fix, advice = None, f"Move one of the listed pairs into {split}, or remove the class."
    others = " and ".join(other for other in report.splits if other != split)
    return report.finding(
        "error" if split == "train" else "warning",
        f"The {split} split has no pixel of {name_some(names, _LISTED)}",
        f"{meaning.get(split, 'Its score does not measure that class.')} {count_of(len(having), 'image')} of {others} "
        f"{'has' if len(having) == 1 else 'have'} such pixels. {advice}",
        fix,
        images=having.tolist(),
    )


def _without(report: DatasetReport, names: Sequence[str], *, ignore: Sequence[int | list[int]] = ()) -> Fix | None:
    """The lines of the experiment's classes without these; None where fewer than two are left to be told apart."""
    kept = [item for item in explicit(report.data.classes) if item.name not in names]
    return report.classes_fix(kept, [*(report.data.ignore_values or []), *ignore]) if len(kept) > 1 else None


def _are_slips(report: DatasetReport) -> np.ndarray:
    """Which classes have a handful of pixels, in one mask or one of a hundred: bool (classes,)."""
    config, labeling = report.config, report.labeling
    pixels, masks = report.class_pixels.sum(axis=0), (report.class_pixels > 0).sum(axis=0)
    few = (pixels > 0) & (pixels <= max(STRAY_PIXELS, STRAY_SHARE * report.counts.sum()))
    can_tell = config is not None and not config.data.multilabel and not labeling.binary and len(report.masked) > 1
    return few & (masks <= max(1, len(report.masked) // 100)) & can_tell


def find_slips(report: DatasetReport) -> Iterator[Finding]:
    """Classes of an experiment with next to no pixels: most likely slips of the annotator."""
    few, labeling = _are_slips(report), report.labeling
    if not few.any():
        return
    names = [labeling.names[index] for index in np.flatnonzero(few)]
    pixels = report.class_pixels[:, few]
    masks = np.flatnonzero(pixels.any(axis=1)).tolist()
    codes = [code for code, index in labeling.claims.items() if index != IGNORED and few[index]]
    shown = [f"{name} {count_of(int(n), 'pixel')}" for name, n in zip(names, pixels.sum(axis=0), strict=True)]
    yield report.finding(
        "warning",
        f"{name_some(names, _LISTED)}: almost no pixels, in {count_of(len(masks), 'mask')}",
        f"{', '.join(shown)} in the entire dataset: a mistake, or too little to learn or score. The lines below "
        f"ignore it.",
        _without(report, names, ignore=[as_written(code, as_color=labeling.as_color) for code in codes]),
        masks=masks,
        marked=codes,
    )


def suggest_weights(report: DatasetReport) -> tuple[dict[str, Any], np.ndarray, np.ndarray] | None:
    """The loss for the balance of the training masks, the weights of the classes and their shares of the pixels; None
    where no class is rare."""
    labeling = report.labeling
    if labeling.multilabel or _are_slips(report).any():
        return None
    counts = report.class_pixels[report.splits.get("train", slice(None))].astype(
        np.float64
    )  # all where nothing is split
    pixels = counts.sum(axis=0)
    if not pixels.all() or pixels.min() >= RARE * pixels.sum():
        return None
    image_pixels = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    weights = compute_class_weights("enet", pixels, image_pixels)
    term = {"CrossEntropyLoss": {"coef": 1.0, "class_weights": "enet"}}
    if labeling.binary:
        term = {"BCEWithLogitsLoss": {"coef": 1.0, "pos_weight": round(float(weights[1] / weights[0]), 1)}}
    return term | {"DiceLoss": 1.0}, weights, pixels / pixels.sum()


def find_imbalance(report: DatasetReport) -> Iterator[Finding]:
    """Rare classes, where the loss of the experiment does not see to them."""
    suggested = suggest_weights(report)
    if suggested is None:
        return
    if report.config is not None:
        terms = report.config.loss
        arguments = {key for term in terms.values() for key, value in term.arguments.items() if value is not None}
        if WEIGHTED & arguments or REGION_LOSSES & terms.keys() or report.config.data.balance > 0:
            return
    loss, weights, shares = suggested
    rare = [index for index in np.argsort(shares) if shares[index] < RARE]
    listed = name_some([f"{report.labeling.names[index]} {show_share(shares[index])}" for index in rare], 4)
    yield report.finding(
        "note",
        f"{count_of(len(rare), 'class')} below 1 % of the pixels",
        f"{listed}: plain cross entropy may neglect them. The lines below weight the classes (the rarest "
        f"{weights.max() / weights.min():.0f} times as much as the most frequent) and add an overlap loss.",
        yaml_fix(loss=loss),
    )


def find_empty_masks(report: DatasetReport) -> Iterator[Finding]:
    """Masks with nothing but ignored pixels, and masks of one class where others have several."""
    labeling, counts, pixels = report.labeling, report.counts, report.class_pixels
    if labeling.multilabel:
        return
    read = np.isin(np.arange(len(report.records)), report.masked)
    ignored = read & (counts[:, IGNORED] > 0) & (counts[:, IGNORED] >= MOSTLY_IGNORED * counts.sum(axis=1))
    if ignored.any() and not ignored[read].all():
        title = f"{count_of(ignored.sum(), 'mask', 'is')} ignored by 95 % or more"
        explanation = "Almost nothing can be learned from them. They may not be annotated, or the export may be wrong."
        yield report.finding("warning", title, explanation, "set-aside-ignored", masks=np.flatnonzero(ignored).tolist())
    kinds, usual = (pixels > 0).sum(axis=1), read & ~ignored
    alone = np.flatnonzero((kinds == 1) & ~ignored).tolist()
    if usual.sum() < FEWEST or not 0 < len(alone) <= max(1, UNUSUAL * usual.sum()):
        return
    if labeling.binary:
        level, what = "note", f"all '{labeling.names[1]}' or all background"
        explanation = "That is correct if the images show it. Look at them."
    elif np.median(kinds[usual]) >= 3:
        level, what = "warning", "of a single class"
        held = sorted({labeling.names[int(pixels[index].argmax())] for index in alone})
        explanation = (
            f"All pixels are {' or '.join(held)}, while other masks contain more classes. Did an export fail? If "
            f"they are correct, keep them."
        )
    else:
        return
    title, explanation = f"{count_of(len(alone), 'mask', 'is')} {what}", explanation
    yield report.finding(level, title, explanation, "set-aside-one-class", masks=alone)


def find_inverted(report: DatasetReport) -> Iterator[Finding]:
    """Masks of an object and its background in which the two are exchanged."""
    labeling, read = report.labeling, report.read
    if len(labeling.names) != 2 or labeling.as_color or read is None:
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
    codes = [code for code in read.codes.tolist() if labeling.claims.get(code, IGNORED) != IGNORED]
    changes = [Change(file, partial(swap_values, values=codes)) for file in report.masks_of(chosen)]
    yield report.finding(
        "warning",
        f"{count_of(len(chosen), 'mask', 'is')} most likely inverted",
        f"'{labeling.names[1]}' is where the background is in the other masks: along the frame, and on its colors. "
        f"Look at them in check.html; this fix swaps the two values.",
        apply_fix("invert-masks", changes) if len(codes) == 2 else None,
        masks=chosen,
    )


def _look_at_object(report: DatasetReport, index: int) -> tuple[float, float, NDArray] | None:
    """The object's share of the pixels and of the frame, and how its mean color differs from the background's: a
    direction of length 1, or zeros; None where one of the two is missing."""
    record, labeling = report.records[index], report.labeling
    if not record.is_pair or (codes := labeling.codes_of(record.mask)) is None:
        return None
    sides = labeling.indices_of(codes) == [[0], [1]]  # background and object
    counts, tones = record.mask.counts, np.nan_to_num(record.mask.tones)
    pixels, _, frame = (sides @ counts).T
    if not pixels.all() or not frame.any():
        return None
    back, front = sides @ (tones * counts[:, :1]) / pixels[:, None]
    contrast = (front - back) / max(float(np.linalg.norm(front - back)), 1e-6)
    return pixels[1] / pixels.sum(), frame[1] / frame.sum(), contrast


def _describe_all_inverted(report: DatasetReport, share: float) -> Iterator[Finding]:
    name, own = report.labeling.names[1], report.data.classes[-1]
    if not report.labeling.binary or own.values:
        return
    value = own.value if own.value is not None else 1
    yield report.finding(
        "note",
        f"'{name}' surrounds the background",
        f"It covers {show_share(share)} of a typical mask and nearly all of its frame. If value 0 is the object, "
        f"write two classes; with a single class, 0 is always the background.",
        report.classes_fix([ClassConfig(name="background", value=value), ClassConfig(name=name, value=0)]),
    )
