"""What the tests of `python -m segtrain compare` share: run folders with evaluations, drawn rather than trained."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from segtrain.__main__ import main
from segtrain.config.schema import Config
from segtrain.config.tree import dump_yaml
from segtrain.inference.evaluation import INFO_FILE, NUMBERS_FILE, EvaluationInfo, build_counts
from segtrain.inference.options import InferOptions
from segtrain.metrics import score_counts

NAMES = ["sky", "road", "car"]


def draw_counts(images: int, classes: int = 3, seed: int = 0) -> np.ndarray:
    """Counts (N, 3, C) of predictions that are right in about two of three pixels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(50, 100, (images, classes))
    hit = (true * rng.uniform(0.5, 0.9, true.shape)).astype(int)
    return np.stack([hit, true, hit + rng.integers(0, 30, true.shape)], axis=1)


def draw_run(folder: Path, scores: list[float], *, names: list[str] = NAMES, summary: bool = True, **config) -> Path:
    """A run whose epochs have these mIoU, which its classes have too; `config` is merged into the data and sections."""
    data = {"root": "data", "classes": names} | config.pop("data", {})
    plain = Config.model_validate({"data": data, **config}).model_dump(mode="json")
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text(dump_yaml(plain))
    table = pandas.DataFrame({"epoch": range(1, len(scores) + 1), "val/loss": [1 - score for score in scores]})
    table["images_per_second"] = 10.0
    classes = Config.model_validate(plain).data.class_names
    for column in ("val/miou", *(f"val/iou/{name}" for name in classes)):
        table[column] = scores
    table.to_csv(folder / "metrics.csv", index=False)
    if summary:
        content = {"epochs": len(scores), "seconds": 90.0, "parameters": 1_500_000}
        (folder / "summary.json").write_text(json.dumps(content))
    return folder


def draw_evaluation(
    folder: Path, counts: np.ndarray, *, images: list[str] | None = None, names: list[str] = NAMES, **info
) -> Path:
    """An evaluation folder with these counts (N, 3, C)."""
    folder.mkdir(parents=True)
    images = images or [f"{index:03d}" for index in range(len(counts))]
    told = {"models": [str(folder.parent)], "predictions": None, "epoch": 1, "split": "val", "mode": "multiclass"}
    told |= {"names": names, "options": InferOptions(), "seed": 0, "data": {"root": "data", "classes": names}}
    content = EvaluationInfo.model_validate(told | info).model_dump()
    (folder / INFO_FILE).write_text(json.dumps(content))
    values = {key: float(value) for key, value in score_counts(counts.sum(axis=0), names).items()}
    pandas.DataFrame({"value": values}).to_csv(folder / NUMBERS_FILE, index_label="name")
    build_counts(counts, images, names).to_csv(folder / "images.csv", index_label="name")
    return folder


def compare(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[str, str]:
    """What `python -m segtrain compare` says on stdout; and on stderr, where it refuses, with exit status 2."""
    capsys.readouterr()
    status = main(["compare", *map(str, arguments)])
    said = capsys.readouterr()
    assert status == (2 if said.err else 0)
    return said.out, said.err
