import numpy as np
import pytest

from segtrain.commands.evaluate.calibration import BINS, calibration_error, count_confidences


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
