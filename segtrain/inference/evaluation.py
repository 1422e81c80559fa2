"""Evaluation folder: the numbers that `evaluate` leaves for other commands, and reading them back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from segtrain.errors import CheckpointError, ConfigError, first_fault, reason_of
from segtrain.inference.options import InferOptions

INFO_FILE, NUMBERS_FILE, IMAGES_FILE = "evaluation.json", "evaluation.csv", "images.csv"
COUNTS = ("hit", "true", "predicted")  # the rows of class_counts, as images.csv has them for each class
# As to_csv writes it: an image may be named 001, or NA.
_PLAIN = {"dtype": {"name": str}, "keep_default_na": False, "na_values": [""]}


class EvaluationInfo(BaseModel):
    """What was scored, and on what: evaluation.json.

    `models` are the paths as they were given; none where `predictions`, a folder of PNG files, was scored. `epoch` is
    that of the first model's checkpoint, where it says so. `names` are the classes. `options` are those of the
    Predictor. `data` and `seed`, sections of the configuration, say where the images are.
    """

    model_config = ConfigDict(extra="forbid")

    models: list[str]
    predictions: str | None
    epoch: int | None
    split: str
    mode: Literal["binary", "multiclass", "multilabel"]
    names: list[str]
    options: InferOptions
    seed: int
    data: dict[str, Any]


@dataclass(frozen=True)
class EvaluationRecord:
    """An evaluation folder with N images of C classes.

    `values`: the numbers of evaluation.csv, by name. `images`: the names of the images, sorted, as most splits are, so
    that an interval is that of the evaluation. `counts`: int64 (N, 3, C), see
    class_counts, in the order of `images` and `info.names`.
    """

    folder: Path
    info: EvaluationInfo
    values: dict[str, float]
    images: list[str]
    counts: NDArray[np.int64]


def build_counts(counts: NDArray[np.int64], images: list[str], names: list[str]) -> pandas.DataFrame:
    """The columns of images.csv that EvaluationRecord.counts come from: hit/<class>, true/<class>, predicted/<class>,
    pixels; a row for each image."""
    columns = [f"{key}/{name}" for key in COUNTS for name in names]
    return pandas.DataFrame(counts.reshape(len(images), -1), images, columns)


def read_evaluation(folder: Path) -> EvaluationRecord:
    """Read an evaluation folder. Raises CheckpointError for another one, for one of an older version, and for a file in
    it that cannot be read."""
    path = folder / INFO_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: has no {INFO_FILE}, which older versions did not write; evaluate again")
    try:
        info = EvaluationInfo.model_validate(json.loads(path.read_bytes()))
        path = folder / NUMBERS_FILE
        values = pandas.read_csv(path, index_col="name", **_PLAIN)["value"].astype(float)
        path = folder / IMAGES_FILE
        table = pandas.read_csv(path, index_col="name", **_PLAIN).sort_index()
        counts = table[[f"{key}/{name}" for key in COUNTS for name in info.names]]
        if counts.isna().to_numpy().any():
            raise ValueError("one image has no counts; evaluate again")
        if not table.index.is_unique:
            raise ValueError("an image is listed twice")
        counts = counts.to_numpy().astype(np.int64)
    except ConfigError as error:
        raise CheckpointError(f"{path}: options: {error}") from error
    except ValidationError as error:
        raise CheckpointError(f"{path}: cannot be read: {first_fault(error)}") from error
    except KeyError as error:
        raise CheckpointError(f"{path}: has no column {error}; evaluate again") from error
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {reason_of(error)}") from error
    images = table.index.tolist()
    counts = counts.reshape(len(images), len(COUNTS), len(info.names))
    return EvaluationRecord(folder, info, values.to_dict(), images, counts)
