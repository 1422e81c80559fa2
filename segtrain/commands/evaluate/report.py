"""Report of an evaluation: its numbers with their intervals, as a table to read and as CSV."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas

from segtrain.commands.evaluate.boundary import BOUNDARY_DEFINITION
from segtrain.commands.evaluate.probabilities import CLASS_DEFINITION, TOP_LABEL_DEFINITION, calibration_error
from segtrain.commands.evaluate.scores import Scores
from segtrain.inference.bootstrap import INTERVAL_DEFINITION, LEVEL, bootstrap_iou
from segtrain.inference.evaluation import build_counts
from segtrain.inference.task import Task
from segtrain.metrics import (
    MIOU_DEFINITION,
    MULTILABEL_DEFINITION,
    align_rows,
    compute_iou,
    compute_metrics,
    format_summary,
    mean_of_known,
    show_score,
)


class Estimate(NamedTuple):
    """A number of an evaluation, with its interval, or nan where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def compute_values(scores: Scores, names: Sequence[str]) -> dict[str, Estimate]:
    """Every number of an evaluation, by the name that it has in metrics.csv where it is there too.

    miou, boundary_miou, mdice and so on; iou/<class>, boundary_iou/<class>, .., pixels/<class> (of ground truth);
    calibration_error; images; images_per_second, image_ms_median, image_ms_p90.
    """
    values = {name: Estimate(value) for name, value in compute_metrics(scores.matrix, names).items()}
    pixels = scores.regions.sum(axis=0)[1].tolist()
    boundary = compute_iou(scores.boundaries.sum(axis=0))
    regions, boundaries = bootstrap_iou(scores.regions).T.tolist(), bootstrap_iou(scores.boundaries).T.tolist()
    values["miou"] = Estimate(values["miou"].value, *regions[0])
    values["boundary_miou"] = Estimate(float(mean_of_known(boundary)), *boundaries[0])
    for index, name in enumerate(names):
        values[f"iou/{name}"] = Estimate(values[f"iou/{name}"].value, *regions[1 + index])
        values[f"boundary_iou/{name}"] = Estimate(float(boundary[index]), *boundaries[1 + index])
        values[f"pixels/{name}"] = Estimate(pixels[index])
    if scores.calibration is not None:
        values["calibration_error"] = Estimate(calibration_error(scores.calibration))
    values["images"] = Estimate(len(scores.names))
    return values | {name: Estimate(speed) for name, speed in scores.speed.items()}


def format_report(values: dict[str, Estimate], task: Task) -> str:
    """The table of the classes, the overall scores and their definitions, without a newline at the end."""
    plain = {name: value.value for name, value in values.items()}
    rows = [("class", "IoU", f"{LEVEL:.0%} interval", "boundary IoU", "Dice", "precision", "recall", "pixels")]
    for name in task.names:
        others = [show_score(plain[f"{key}/{name}"]) for key in ("boundary_iou", "dice", "precision", "recall")]
        iou = values[f"iou/{name}"]
        rows.append((name, show_score(iou.value), _interval(iou), *others, f"{plain[f'pixels/{name}']:,}"))
    means = [show_score(plain[key]) for key in ("boundary_miou", "mdice", "mprecision", "mrecall")]
    rows.append(("mean", show_score(plain["miou"]), _interval(values["miou"]), *means, ""))
    lines = [align_rows(rows), format_summary(plain)]
    calibrated = "calibration_error" in values
    if calibrated:
        lines[-1] += f", calibration error {show_score(plain['calibration_error'])}"
    if "images_per_second" in values:
        lines.append(
            f"{plain['images_per_second']:.1f} images/s from files to scores; one image at a time: median "
            f"{plain['image_ms_median']:.1f} ms, 90 % within {plain['image_ms_p90']:.1f} ms"
        )
    lines += ["", MULTILABEL_DEFINITION if task.mode == "multilabel" else MIOU_DEFINITION]
    lines += [BOUNDARY_DEFINITION, INTERVAL_DEFINITION]
    if calibrated:
        lines.append(TOP_LABEL_DEFINITION if task.mode == "multiclass" else CLASS_DEFINITION)
    return "\n".join(lines)


def _interval(value: Estimate) -> str:
    return "-" if math.isnan(value.low) else f"{value.low:.4f} to {value.high:.4f}"


def build_evaluation_csv(values: dict[str, Estimate]) -> str:
    """name,value,low,high: a row for each number in full precision; empty for nan."""
    table = pandas.DataFrame.from_dict(values, orient="index", columns=Estimate._fields, dtype=object)
    return table.to_csv(index_label="name", lineterminator="\n")


def build_images_csv(scores: Scores, names: Sequence[str]) -> str:
    """A row for each image, the worst mIoU first, those without a counted pixel last: its mIoU over the classes that
    occur in it, the same of the boundaries, the IoU of each class, and its counts."""
    iou, boundary_iou = compute_iou(scores.regions), compute_iou(scores.boundaries)
    means = pandas.DataFrame({"miou": mean_of_known(iou), "boundary_miou": mean_of_known(boundary_iou)}, scores.names)
    classes = pandas.DataFrame(iou, scores.names, [f"iou/{name}" for name in names])
    table = pandas.concat([means, classes, build_counts(scores.regions, scores.names, names)], axis=1)
    return table.sort_values("miou", kind="stable").to_csv(index_label="name", lineterminator="\n")
