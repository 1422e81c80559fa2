"""The numbers of an evaluation, as a table to read and as CSV."""

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segtrain.commands.evaluate.bootstrap import LEVEL, RESAMPLES, bootstrap_iou
from segtrain.commands.evaluate.boundary import BOUNDARY_DEFINITION
from segtrain.commands.evaluate.calibration import CLASS_DEFINITION, TOP_LABEL_DEFINITION, calibration_error
from segtrain.commands.evaluate.counts import iou_of, mean_of_known
from segtrain.commands.evaluate.measure import Speed
from segtrain.commands.evaluate.scoring import Scores
from segtrain.inference.task import Task
from segtrain.metrics import MIOU_DEFINITION, MULTILABEL_DEFINITION, compute_metrics

INTERVAL_DEFINITION = (
    f"The intervals hold the middle {LEVEL:.0%} of {RESAMPLES} scores of images drawn anew from these (bootstrap): how "
    "far the choice of the images matters."
)


class Value(NamedTuple):
    """A number; its interval, or nan where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def compute_values(scores: Scores, names: Sequence[str], speed: Speed | None) -> dict[str, Value]:
    """Everything there is to say of an evaluation, by name: that of metrics.csv where it has the number too.

    miou, boundary_miou, mdice and so on; iou/<class>, boundary_iou/<class>, .., pixels/<class> (of ground truth);
    calibration_error; images; images_per_second, image_ms_median, image_ms_p90.
    """
    values = {name: Value(value) for name, value in compute_metrics(scores.matrix, names).items()}
    regions = bootstrap_iou(scores.regions)
    boundary, boundaries = iou_of(scores.boundaries.sum(axis=0)), bootstrap_iou(scores.boundaries)
    values["miou"] = Value(values["miou"].value, *regions[:, 0].tolist())
    values["boundary_miou"] = Value(float(mean_of_known(boundary)), *boundaries[:, 0].tolist())
    pixels = scores.regions.sum(axis=0)[1]
    for place, name in enumerate(names):
        values[f"iou/{name}"] = Value(values[f"iou/{name}"].value, *regions[:, 1 + place].tolist())
        values[f"boundary_iou/{name}"] = Value(float(boundary[place]), *boundaries[:, 1 + place].tolist())
        values[f"pixels/{name}"] = Value(int(pixels[place]))
    if scores.calibration is not None:
        values["calibration_error"] = Value(calibration_error(scores.calibration))
    values["images"] = Value(len(scores.names))
    if speed is not None:
        values["images_per_second"] = Value(speed.images_per_second)
        values |= {"image_ms_median": Value(speed.median_ms), "image_ms_p90": Value(speed.p90_ms)}
    return values


def format_report(values: dict[str, Value], task: Task) -> str:
    """The table of the classes, the scores of the whole, and what they mean, without a newline at the end."""
    rows = [("class", "IoU", f"{LEVEL:.0%} interval", "boundary IoU", "Dice", "precision", "recall", "pixels")]
    kinds = ("boundary_iou", "dice", "precision", "recall")
    for name in task.names:
        others = (_cell(values[f"{kind}/{name}"].value) for kind in kinds)
        iou, pixels = values[f"iou/{name}"], values[f"pixels/{name}"].value
        rows.append((name, _cell(iou.value), _interval(iou), *others, f"{pixels:,}"))
    means = (_cell(values[key].value) for key in ("boundary_miou", "mdice", "mprecision", "mrecall"))
    rows.append(("mean", _cell(values["miou"].value), _interval(values["miou"]), *means, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join(
        [lines[0], rule, *lines[1:-1], rule, lines[-1], *_summary(values), "", *_definitions(values, task)]
    )


def _summary(values: dict[str, Value]) -> list[str]:
    parts = [
        f"pixel accuracy {_cell(values['pixel_accuracy'].value)}",
        f"mean class accuracy {_cell(values['mean_class_accuracy'].value)}",
        f"frequency-weighted IoU {_cell(values['fwiou'].value)}",
    ]
    if "calibration_error" in values:
        parts.append(f"calibration error {_cell(values['calibration_error'].value)}")
    lines = [", ".join(parts)]
    if "images_per_second" in values:
        lines.append(
            f"{values['images_per_second'].value:.1f} images/s from files to scores; one image at a time: median "
            f"{values['image_ms_median'].value:.1f} ms, nine of ten within {values['image_ms_p90'].value:.1f} ms"
        )
    return lines


def _definitions(values: dict[str, Value], task: Task) -> list[str]:
    lines = [MULTILABEL_DEFINITION if task.mode == "multilabel" else MIOU_DEFINITION]
    lines += [BOUNDARY_DEFINITION, INTERVAL_DEFINITION]
    if "calibration_error" in values:
        lines.append(TOP_LABEL_DEFINITION if task.mode == "multiclass" else CLASS_DEFINITION)
    return lines


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(value: Value) -> str:
    return "-" if math.isnan(value.low) else f"{value.low:.4f} to {value.high:.4f}"


def build_evaluation_csv(values: dict[str, Value]) -> str:
    """name,value,low,high: a row for each number in full precision, empty where it is not known."""
    return _to_csv(["name", "value", "low", "high"], ([name, *map(_plain, value)] for name, value in values.items()))


def build_images_csv(scores: Scores, names: Sequence[str]) -> str:
    """A row for each image, the worst mIoU first, those without a counted pixel last: its mIoU over the classes that
    occur in it, the same of the boundaries, and the IoU of each class."""
    iou = iou_of(scores.regions)
    miou, boundary = mean_of_known(iou), mean_of_known(iou_of(scores.boundaries))
    rows = (
        [scores.names[place], *map(_plain, (miou[place], boundary[place], *iou[place]))]
        for place in np.argsort(miou, kind="stable")
    )
    return _to_csv(["name", "miou", "boundary_miou", *(f"iou/{name}" for name in names)], rows)


def _plain(value: float) -> float | str:
    return "" if math.isnan(value) else getattr(value, "item", lambda: value)()


def _to_csv(header: list[str], rows) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
