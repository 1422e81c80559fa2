import numpy as np
import pytest

from segtrain.commands.evaluate.probabilities import (
    BINS,
    Tuned,
    calibration_error,
    count_confidences,
    count_probabilities,
    iou_by_threshold,
    tune,
)


def count(confidence, right, known=None):
    confidence = np.array(confidence, np.float32).reshape(1, 1, -1)
    right = np.array(right, bool).reshape(1, 1, -1)
    known = np.ones_like(right) if known is None else np.array(known, bool).reshape(1, 1, -1)
    return count_confidences(confidence, right, known)


def test_an_error_by_hand():
    # Two bins: in (0.6, 0.667] three pixels of 0.65 of which one is right, in (0.933, 1] one of 0.95 that is right:
    # 3/4 of |1/3 - 0.65| and 1/4 of |1 - 0.95|.
    counted = count([0.65, 0.65, 0.65, 0.95], [1, 0, 0, 1])
    assert np.flatnonzero(counted[0, 0]).tolist() == [9, 14]
    assert calibration_error(counted) == pytest.approx(0.75 * (0.65 - 1 / 3) + 0.25 * 0.05)


def test_a_bin_holds_its_upper_edge_and_the_first_one_zero():
    counted = count([0.0, 1 / 15, 1.0, 0.5], [0, 0, 1, 1])
    pixels = np.zeros(BINS)
    pixels[[0, 14, 7]] = 2, 1, 1
    assert counted[0, 0].tolist() == pixels.tolist()


def test_ignored_pixels_are_not_counted():
    counted = count([0.65, 0.95, 0.2], [1, 0, 1], known=[1, 0, 0])
    assert counted[:, 0].sum(axis=1) == pytest.approx([1, 0.65, 1])


def test_probabilities_that_mean_what_they_say():
    rng = np.random.default_rng(0)
    confidence = rng.random(100_000).astype(np.float32)
    assert calibration_error(count(confidence, rng.random(100_000) < confidence)) < 0.01
    assert calibration_error(count(confidence, rng.random(100_000) < confidence**2)) > 0.15


def test_classes_are_averaged_and_one_without_a_pixel_is_left_out():
    confidence = np.array([[[0.9, 0.9]], [[0.2, 0.2]], [[0.5, 0.5]]], np.float32)
    right = np.array([[[1, 1]], [[0, 0]], [[0, 0]]], bool)
    known = np.array([[[1, 1]], [[1, 0]], [[0, 0]]], bool)
    assert calibration_error(count_confidences(confidence, right, known)) == pytest.approx((0.1 + 0.2) / 2)


def test_the_counts_of_images_add_up():
    rng = np.random.default_rng(1)
    parts = [count(rng.random(50), rng.random(50) < 0.5) for _ in range(2)]
    rng = np.random.default_rng(1)
    drawn = [(rng.random(50), rng.random(50) < 0.5) for _ in range(2)]
    whole = count(*(np.concatenate(part) for part in zip(*drawn, strict=True)))
    assert parts[0] + parts[1] == pytest.approx(whole)


def test_no_pixel_no_error():
    assert np.isnan(calibration_error(count([0.5], [1], known=[0])))


def count_tuned(probabilities, true, known=None):
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
    scores = iou_by_threshold(count_tuned([0.1, 0.3, 0.6, 0.9], [0, 1, 0, 1]))[0]
    at = {threshold: scores[round(threshold * 1000) - 1] for threshold in (0.05, 0.2, 0.3, 0.301, 0.6, 0.601, 0.95)}
    assert at == pytest.approx({0.05: 2 / 4, 0.2: 2 / 3, 0.3: 2 / 3, 0.301: 1 / 3, 0.6: 1 / 3, 0.601: 1 / 2, 0.95: 0})


def test_the_best_threshold_next_to_the_middle():
    assert tuned(count_tuned([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1])) == Tuned("crack", 0.3, 0.25, 1.0)
    assert tuned(count_tuned([0.6, 0.7, 0.8], [0, 0, 1])) == Tuned("crack", 0.701, 0.25, 1.0)
    assert tuned(count_tuned([0.2, 0.8], [0, 1])) == Tuned("crack", 0.5, 0.25, 1.0)


def test_it_counts_what_the_predictor_compares():
    rng = np.random.default_rng(0)
    probabilities = rng.random((1, 40, 50)).astype(np.float32)
    probabilities[0, 0] = np.float32(rng.integers(0, 1001, 50) / 1000)  # those that meet a threshold
    true = rng.random((1, 40, 50)) < probabilities**2
    known = rng.random((1, 40, 50)) < 0.8
    scores = iou_by_threshold(count_probabilities(probabilities, true, known))[0]
    for index, score in enumerate(scores):
        there = probabilities >= np.float32((index + 1) / 1000)
        hit, either = (there & true & known).sum(), ((there | true) & known).sum()
        assert score == hit / either


def test_a_class_without_a_pixel_keeps_its_threshold():
    assert tuned(count_tuned([0.2, 0.8], [0, 0]), threshold=0.4, before=0.0) == Tuned("crack", 0.4, 0.0, 0.0)


def test_classes_each_for_itself():
    probabilities = np.array([[[0.2, 0.4]], [[0.7, 0.9]]], np.float32)
    true = np.array([[[0, 1]], [[0, 1]]], bool)
    counted = count_probabilities(probabilities, true, np.ones_like(true))
    found = tune(counted, names=["a", "b"], thresholds=[0.5, 0.5], before=np.array([0.0, 0.5]))
    assert found == [Tuned("a", 0.4, 0.0, 1.0), Tuned("b", 0.701, 0.5, 1.0)]
