import json

import numpy as np
import pytest

from segtrain.commands.evaluate.thresholds import (
    Tuned,
    count_probabilities,
    describe_tuned,
    iou_by_threshold,
    tune,
    write_thresholds,
)
from segtrain.errors import CheckpointError


def count(probabilities, true, known=None):
    probabilities = np.array(probabilities, np.float32).reshape(1, 1, -1)
    true = np.array(true, bool).reshape(1, 1, -1)
    known = np.ones_like(true) if known is None else np.array(known, bool).reshape(1, 1, -1)
    return count_probabilities(probabilities, true, known)


def tuned(counted, threshold=0.5, before=0.25):
    (item,) = tune(counted, names=["crack"], thresholds=[threshold], before=np.array([before]))
    return item


def test_iou_by_hand():
    # From 0.3 on the pixels of 0.3, 0.6 and 0.9 are predicted, two of the three right, and all of the class found;
    # from above 0.3 on one right of two predicted; from above 0.6 on one right alone.
    scores = iou_by_threshold(count([0.1, 0.3, 0.6, 0.9], [0, 1, 0, 1]))[0]
    at = {threshold: scores[round(threshold * 1000) - 1] for threshold in (0.05, 0.2, 0.3, 0.301, 0.6, 0.601, 0.95)}
    assert at == pytest.approx({0.05: 2 / 4, 0.2: 2 / 3, 0.3: 2 / 3, 0.301: 1 / 3, 0.6: 1 / 3, 0.601: 1 / 2, 0.95: 0})


def test_the_best_threshold_next_to_the_middle():
    assert tuned(count([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1])) == Tuned("crack", 0.3, 0.25, 1.0)
    assert tuned(count([0.6, 0.7, 0.8], [0, 0, 1])) == Tuned("crack", 0.701, 0.25, 1.0)
    assert tuned(count([0.2, 0.8], [0, 1])) == Tuned("crack", 0.5, 0.25, 1.0)


def test_it_counts_what_the_predictor_compares():
    rng = np.random.default_rng(0)
    probabilities = rng.random((1, 40, 50)).astype(np.float32)
    probabilities[0, 0] = np.float32(rng.integers(0, 1001, 50) / 1000)  # those that meet a threshold
    true = rng.random((1, 40, 50)) < probabilities**2
    known = rng.random((1, 40, 50)) < 0.8
    scores = iou_by_threshold(count_probabilities(probabilities, true, known))[0]
    for place, score in enumerate(scores):
        there = probabilities >= np.float32((place + 1) / 1000)
        hit, either = (there & true & known).sum(), ((there | true) & known).sum()
        assert score == hit / either


def test_a_class_without_a_pixel_keeps_its_threshold():
    assert tuned(count([0.2, 0.8], [0, 0]), threshold=0.4, before=0.0) == Tuned("crack", 0.4, 0.0, 0.0)


def test_classes_each_for_itself():
    probabilities = np.array([[[0.2, 0.4]], [[0.7, 0.9]]], np.float32)
    true = np.array([[[0, 1]], [[0, 1]]], bool)
    counted = count_probabilities(probabilities, true, np.ones_like(true))
    found = tune(counted, names=["a", "b"], thresholds=[0.5, 0.5], before=np.array([0.0, 0.5]))
    assert found == [Tuned("a", 0.4, 0.0, 1.0), Tuned("b", 0.701, 0.5, 1.0)]
    assert describe_tuned(found).splitlines() == [
        "a  threshold 0.400, IoU 0.0000 before, 1.0000 after",
        "b  threshold 0.701, IoU 0.5000 before, 1.0000 after",
    ]


def test_the_file(tmp_path):
    path = tmp_path / "best.thresholds.json"
    write_thresholds(path, [Tuned("a", 0.4, 0.0, 1.0), Tuned("b", 0.701, 0.5, 1.0)], epoch=7)
    assert json.loads(path.read_text()) == {"epoch": 7, "thresholds": {"a": 0.4, "b": 0.701}}
    assert [item.name for item in tmp_path.iterdir()] == ["best.thresholds.json"]
    missing = tmp_path / "gone" / "thresholds.json"
    with pytest.raises(CheckpointError, match=f"^{missing}: cannot be written: No such file or directory$"):
        write_thresholds(missing, [], epoch=7)
