"""Media of Weights & Biases: predictions as layers over their image, tables, the confusion matrix."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import wandb
from numpy.typing import NDArray
from PIL import Image

from segtrain.metrics import class_counts, class_scores
from segtrain.visualize import Panel

# The chart is a table of classes squared rows that the browser draws; past this size the picture alone is readable.
MAX_CHART_CLASSES = 50
MOST_LABELS = 255  # wandb stores masks as bytes, and one value is taken by the ignored pixels


class GroundTruth(wandb.data_types.ImageMask):
    """A mask that is written when it is first logged; later rows refer to that file."""

    def bind_to_run(self, *arguments: Any, **named: Any) -> None:
        """See wandb.data_types.ImageMask."""
        if not self.is_bound():
            super().bind_to_run(*arguments, **named)


def build_mask(mask: NDArray, names: Sequence[str]) -> dict[str, Any]:
    """A mask (H, W) of class indices as wandb takes it; any other value is ignored."""
    count = len(names)
    values = np.where((mask >= 0) & (mask < count), mask, count).astype(np.uint8)
    return {"mask_data": values, "class_labels": dict(enumerate(names)) | {count: "ignored"}}


def to_jpeg(image: NDArray[np.uint8], caption: str, *, masks: dict[str, Any] | None = None, **options: Any) -> Any:
    """JPEG, since a photo of 2048 x 1024 takes half a second to compress as PNG; masks stay PNG."""
    return wandb.Image(Image.fromarray(image), caption=caption, masks=masks, file_type="jpg", **options)


def build_predictions(panels: Sequence[Panel], names: Sequence[str], kept: dict[str, GroundTruth]) -> list[Any]:
    """The images with their masks as layers that are switched on and off in the browser; `kept` holds, and gets, the
    ground truth of those that were logged before."""
    images = []
    for panel in panels:
        masks: dict[str, Any] | None = None
        if len(names) <= MOST_LABELS:
            masks = {"prediction": build_mask(panel.prediction, names)}
            if panel.mask is not None:
                if panel.name not in kept:
                    kept[panel.name] = GroundTruth(build_mask(panel.mask, names), "ground_truth")
                masks["ground_truth"] = kept[panel.name]
        images.append(to_jpeg(panel.image, panel.name, masks=masks))
    return images


def build_class_table(matrix: NDArray[np.int64], names: Sequence[str]) -> Any:
    """A row a class: its scores, and its pixels in the ground truth. `matrix` is (C, C), or (C, 2, 2) in multilabel."""
    counts = class_counts(matrix)
    scores = class_scores(counts)
    columns = [[known_or_none(value) for value in values] for values in scores.values()]
    shown = names[-len(counts[0]) :]  # of several layers the names begin with the background
    rows = [list(row) for row in zip(shown, *columns, counts[1].tolist(), strict=True)]
    return wandb.Table(columns=["class", *scores, "pixels"], data=rows)


def known_or_none(value: float) -> float | None:
    """A number for a table, in which nan is an empty cell."""
    return None if math.isnan(value) else float(value)


def build_confusion(matrix: NDArray[np.int64], picture: NDArray[np.uint8] | None, names: Sequence[str]) -> dict:
    """The confusion matrix as a picture, and as a chart where the classes are few."""
    values: dict[str, Any] = {}
    if picture is not None:
        values["val/confusion_picture"] = wandb.Image(Image.fromarray(picture))
    if matrix.ndim == 2 and len(matrix) <= MAX_CHART_CLASSES:
        columns = ["Actual", "Predicted", "nPredictions"]
        data = [[names[i], names[j], int(count)] for (i, j), count in np.ndenumerate(matrix)]
        values["val/confusion"] = wandb.plot_table(
            vega_spec_name="wandb/confusion_matrix/v1",
            data_table=wandb.Table(columns=columns, data=data),
            fields={column: column for column in columns},
            string_fields={"title": "Confusion matrix in pixels"},
        )
    return values
