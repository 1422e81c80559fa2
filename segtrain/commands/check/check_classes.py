"""Class checks: classes that a split lacks, that hardly occur, or that need a weight."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from segtrain.commands.check.check_values import explicit
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, Fix, classes_fix, count_of, yaml_fix
from segtrain.commands.check.mask_values import IGNORED
from segtrain.commands.check.propose import STRAY_PIXELS, STRAY_SHARE, show_share
from segtrain.commands.check.record import as_written
from segtrain.errors import name_some
from segtrain.losses.class_weights import compute_class_weights

RARE = 0.01  # share of the pixels below which a class is easily never predicted
WEIGHTED = frozenset({"class_weights", "pos_weight", "alpha", "weight"})
REGION_LOSSES = frozenset({"DiceLoss", "JaccardLoss", "TverskyLoss", "FocalTverskyLoss", "LovaszLoss", "MCCLoss"})
FOLDS = 5
_LISTED = 6


def find_missing_classes(report: DatasetReport) -> Iterator[Finding]:
    """Classes without a pixel in a split, or in all of them."""
    if not report.class_pixels.any():
        return
    names, slips = np.array(report.labelling.names, object), _are_slips(report)
    present = {split: report.class_pixels[indices].sum(axis=0) > 0 for split, indices in report.splits.items()}
    anywhere = np.any([*present.values()], axis=0)
    if not anywhere.all() and report.config is not None:
        nowhere = names[~anywhere].tolist()
        yield report.finding(
            "warning",
            f"No mask has a pixel of {name_some(nowhere, _LISTED)}",
            "Nobody can learn that, and the score says so. Are the values in data.classes right? If this set has "
            "no such class, leave it out, as the lines do.",
            _without(report, nowhere),
        )
    for split, there in present.items():
        missing = np.flatnonzero(anywhere & ~there & ~slips)
        if len(missing):
            yield _describe_missing(report, split, missing)


def _describe_missing(report: DatasetReport, split: str, missing: np.ndarray) -> Finding:
    """Classes, by their indices, that a split lacks and another has."""
    names, config = [report.labelling.names[index] for index in missing], report.config
    meaning = {"train": "What validation scores cannot be learnt.", "val": "What is learnt is never scored."}
    having = np.flatnonzero((report.class_pixels[:, missing] > 0).any(axis=1))
    unfolded = split in ("train", "val") and (config is None or config.data.folds is None)
    if unfolded and len(report.records) >= FOLDS and len(having) > 1:
        fix = yaml_fix(data={"folds": FOLDS})
        advice = "The lines split training and validation images anew, so that each has its share of every class."
    else:
        fix, advice = None, f"Move one of the listed pairs into {split}, or leave the class out."
    others = " and ".join(other for other in report.splits if other != split)
    return Finding(
        "error" if split == "train" else "warning",
        f"The {split} split has no pixel of {name_some(names, _LISTED)}",
        f"{meaning.get(split, 'It says nothing about that class.')} {count_of(len(having), 'image')} of {others} "
        f"{'has' if len(having) == 1 else 'have'} such pixels. {advice}",
        fix,
        report.images_of(having),
    )


def _without(report: DatasetReport, names: Sequence[str], *, ignore: Sequence[int | list[int]] = ()) -> Fix:
    """The lines of the experiment's classes without these."""
    classes = explicit(report.data.classes)
    kept = [item for item in classes if item.name not in names]
    return classes_fix(kept, [*(report.data.ignore_values or []), *ignore]) if kept else classes_fix(classes)


def _are_slips(report: DatasetReport) -> np.ndarray:
    """Which classes have a handful of pixels, in one mask or one of a hundred: bool (classes,)."""
    config, labelling = report.config, report.labelling
    number = sum(record.mask is not None for record in report.records)
    pixels, masks = report.class_pixels.sum(axis=0), (report.class_pixels > 0).sum(axis=0)
    few = (pixels > 0) & (pixels <= max(STRAY_PIXELS, STRAY_SHARE * report.counts.sum()))
    can_tell = config is not None and not config.data.multilabel and not labelling.binary and number > 1
    return few & (masks <= max(1, number // 100)) & can_tell


def find_slips(report: DatasetReport) -> Iterator[Finding]:
    """Classes of an experiment with next to no pixels: most likely slips of the annotator."""
    few, labelling = _are_slips(report), report.labelling
    if not few.any():
        return
    names = [labelling.names[index] for index in np.flatnonzero(few)]
    pixels = report.class_pixels[:, few]
    masks = np.flatnonzero(pixels.any(axis=1)).tolist()
    codes = [code for code, index in labelling.claims.items() if index != IGNORED and few[index]]
    shown = [f"{name} {count_of(int(n), 'pixel')}" for name, n in zip(names, pixels.sum(axis=0), strict=True)]
    yield report.finding(
        "warning",
        f"{name_some(names, _LISTED)}: next to no pixels, in {count_of(len(masks), 'mask')}",
        f"{', '.join(shown)} in the whole set: a slip, or too little to be learnt or scored. The lines ignore it.",
        _without(report, names, ignore=[as_written(code, as_color=labelling.as_color) for code in codes]),
        masks=masks,
        marked=codes,
    )


def _training_pixels(report: DatasetReport) -> np.ndarray:
    """Pixels of each class in each training mask, or in each of all where nothing is split: float64 (n, classes)."""
    chosen = report.splits.get("train", np.arange(len(report.records)))
    return report.class_pixels[chosen].astype(np.float64)


def suggest_weights(report: DatasetReport) -> tuple[dict[str, Any], np.ndarray] | None:
    """The loss for the balance of the training masks, and the weights of the classes; None where no class is rare."""
    labelling = report.labelling
    if labelling.multilabel or _are_slips(report).any():
        return None
    counts = _training_pixels(report)
    pixels = counts.sum(axis=0)
    if not pixels.all() or pixels.min() >= RARE * pixels.sum():
        return None
    image_pixels = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    weights = compute_class_weights("enet", pixels, image_pixels)
    term = {"CrossEntropyLoss": {"coef": 1.0, "class_weights": "enet"}}
    if labelling.binary:
        term = {"BCEWithLogitsLoss": {"coef": 1.0, "pos_weight": round(float(weights[1] / weights[0]), 1)}}
    return term | {"DiceLoss": 1.0}, weights


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
    loss, weights = suggested
    pixels = _training_pixels(report).sum(axis=0)
    shares = pixels / pixels.sum()
    rare = [index for index in np.argsort(shares) if shares[index] < RARE]
    listed = name_some([f"{report.labelling.names[index]} {show_share(shares[index])}" for index in rare], 4)
    yield Finding(
        "note",
        f"{count_of(len(rare), 'class')} below 1 % of the pixels",
        f"{listed}: a plain cross entropy can do without them. The lines weight the classes (the rarest "
        f"{weights.max() / weights.min():.0f} times as much as the most frequent) and add an overlap loss.",
        yaml_fix(loss=loss),
    )
