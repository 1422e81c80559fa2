"""Classes that a split lacks, that hardly occur, or that need a weight."""

from collections.abc import Sequence

import numpy as np

from segtrain.commands.check.check_claims import explicit
from segtrain.commands.check.check_values import written
from segtrain.commands.check.class_lines import write_classes
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, count_of, yaml_fix
from segtrain.commands.check.labelling import IGNORED
from segtrain.commands.check.propose import STRAY_PIXELS, STRAY_SHARE, show_share
from segtrain.losses.class_weights import compute_class_weights

RARE = 0.01  # share of the pixels below which a class is easily never predicted
WEIGHTED = frozenset({"class_weights", "pos_weight", "alpha", "weight"})
REGION_LOSSES = frozenset({"DiceLoss", "JaccardLoss", "TverskyLoss", "FocalTverskyLoss", "LovaszLoss", "MCCLoss"})
FOLDS = 5


def find_missing_classes(report: DatasetReport) -> list[Finding]:
    """Classes without a pixel in a split, or in all of them."""
    if report.labelling is None or not report.class_pixels.any():
        return []
    names = report.labelling.names
    in_split = {split: report.class_pixels[indices].sum(axis=0) > 0 for split, indices in report.splits.items()}
    nowhere = [name for index, name in enumerate(names) if not any(there[index] for there in in_split.values())]
    slips = _are_slips(report)
    findings = []
    if nowhere and report.config is not None:
        findings.append(
            Finding(
                "warning",
                f"No mask has a pixel of {_listed(nowhere)}",
                "Nobody can learn that, and the score says so. Are the values in data.classes right? If this set has "
                "no such class, leave it out, as the lines do.",
                yaml_fix(*_without(report, nowhere)),
            )
        )
    for split, there in in_split.items():
        absent = ~there & ~slips
        missing = [name for index, name in enumerate(names) if absent[index] and name not in nowhere]
        if missing:
            findings.append(_missing(report, split, missing, others=[s for s in in_split if s != split]))
    return findings


def _missing(report: DatasetReport, split: str, missing: Sequence[str], *, others: Sequence[str]) -> Finding:
    meaning = {
        "train": "What validation scores cannot be learnt.",
        "val": "What is learnt is never scored.",
    }.get(split, "It says nothing about that class.")
    indices = [report.labelling.names.index(name) for name in missing]
    having = np.flatnonzero((report.class_pixels[:, indices] > 0).any(axis=1))
    lines = ("data:", f"  folds: {FOLDS}") if _can_fold(report, split) and len(having) > 1 else ()
    have = "has" if len(having) == 1 else "have"
    advice = (
        "The lines part training and validation images anew, so that each has its share of every class."
        if lines
        else f"Move one of the listed pairs into {split}, or leave the class out."
    )
    return Finding(
        "error" if split == "train" else "warning",
        f"The {split} split has no pixel of {_listed(missing)}",
        f"{meaning} {count_of(len(having), 'image')} of {' and '.join(others)} {have} such pixels. {advice}",
        yaml_fix(*lines) if lines else None,
        tuple(report.records[index].sample.image for index in having),
    )


def _can_fold(report: DatasetReport, split: str) -> bool:
    config = report.config
    return split in ("train", "val") and (config is None or config.data.folds is None) and len(report.records) >= FOLDS


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _without(report: DatasetReport, names: Sequence[str], *, ignore: Sequence[object] = ()) -> list[str]:
    """The lines of the experiment's classes without these."""
    data = report.config.data
    classes = [item for item in explicit(data.classes) if item.name not in names]
    if not classes:
        return write_classes(explicit(data.classes))
    return write_classes(classes, ignore_values=[*(data.ignore_values or []), *ignore])


def _are_slips(report: DatasetReport) -> np.ndarray:
    """Which classes have a handful of pixels, in one mask or one of a hundred: (classes,)."""
    config, labelling = report.config, report.labelling
    number = sum(record.mask is not None for record in report.records)
    pixels, masks = report.class_pixels.sum(axis=0), (report.class_pixels > 0).sum(axis=0)
    few = (pixels > 0) & (pixels <= max(STRAY_PIXELS, STRAY_SHARE * report.counts.sum()))
    can_tell = config is not None and not config.data.multilabel and not labelling.binary and number > 1
    return few & (masks <= max(1, number // 100)) & can_tell


def find_slips(report: DatasetReport) -> list[Finding]:
    """Classes of an experiment with next to no pixels: most likely slips of the annotator."""
    few, labelling = _are_slips(report), report.labelling
    if not few.any():
        return []
    names = [labelling.names[index] for index in np.flatnonzero(few)]
    pixels = report.class_pixels[:, few].sum(axis=0)
    indices = np.flatnonzero((report.class_pixels[:, few] > 0).any(axis=1)).tolist()
    codes = [code for code, index in labelling.claims.items() if index != IGNORED and few[index]]
    ignore = [written(code, as_color=labelling.as_color) for code in codes]
    shown = ", ".join(f"{name} {count_of(int(number), 'pixel')}" for name, number in zip(names, pixels, strict=True))
    return [
        Finding(
            "warning",
            f"{_listed(names)}: next to no pixels, in {count_of(len(indices), 'mask')}",
            f"{shown} in the whole set: a slip, or too little to be learnt or scored. The lines ignore it.",
            yaml_fix(*_without(report, names, ignore=ignore)),
            tuple(report.records[index].sample.mask_file for index in indices),
            tuple(indices[:4]),
            frozenset(codes),
        )
    ]


def _training_pixels(report: DatasetReport) -> np.ndarray:
    """Pixels of each class in each training mask, or in each of all where nothing is split: float64 (n, classes)."""
    chosen = report.splits.get("train", np.arange(len(report.records)))
    return report.class_pixels[chosen].astype(np.float64)


def suggest_weights(report: DatasetReport) -> tuple[list[str], np.ndarray] | None:
    """The lines of a loss for the balance of the training masks, and the weights of the classes; None where no class is
    rare."""
    labelling = report.labelling
    if labelling is None or labelling.multilabel or _are_slips(report).any():
        return None
    counts = _training_pixels(report)
    pixels = counts.sum(axis=0)
    if not pixels.all() or pixels.min() >= RARE * pixels.sum():
        return None
    image_pixels = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    weights = compute_class_weights("enet", pixels, image_pixels)
    if labelling.binary:
        return [
            "loss:",
            f"  BCEWithLogitsLoss: {{coef: 1.0, pos_weight: {weights[1] / weights[0]:.1f}}}",
            "  DiceLoss: 1.0",
        ], weights
    return ["loss:", "  CrossEntropyLoss: {coef: 1.0, class_weights: enet}", "  DiceLoss: 1.0"], weights


def find_imbalance(report: DatasetReport) -> list[Finding]:
    """Rare classes, where the loss of the experiment does not see to them."""
    suggested = suggest_weights(report)
    if suggested is None:
        return []
    if report.config is not None:
        terms = report.config.loss
        weighted = any(
            WEIGHTED & {key for key, value in t.arguments.items() if value is not None} for t in terms.values()
        )
        if weighted or REGION_LOSSES & terms.keys() or report.config.data.balance > 0:
            return []
    lines, weights = suggested
    pixels = _training_pixels(report).sum(axis=0)
    shares = pixels / pixels.sum()
    rare = [index for index in np.argsort(shares) if shares[index] < RARE]
    shown = ", ".join(f"{report.labelling.names[index]} {show_share(shares[index])}" for index in rare[:4])
    more = f" and {len(rare) - 4} more" if len(rare) > 4 else ""
    spread = f"{weights.max() / weights.min():.0f}"
    return [
        Finding(
            "note",
            f"{count_of(len(rare), 'class')} below 1 % of the pixels",
            f"{shown}{more}: a plain cross entropy can do without them. The lines weight the classes (the rarest "
            f"{spread} times as much as the most frequent) and add an overlap loss.",
            yaml_fix(*lines),
        )
    ]
