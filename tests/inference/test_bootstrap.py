import numpy as np
import pytest
from scipy import stats

from segtrain.inference.bootstrap import bootstrap_iou, compare_paired
from segtrain.metrics import class_counts, compute_iou, mean_of_known


def draw_counts(images: int, classes: int, seed: int = 0) -> np.ndarray:
    """Counts (N, 3, C) of random confusion matrices."""
    rng = np.random.default_rng(seed)
    matrices = rng.integers(0, 40, (images, classes, classes)) + 200 * np.eye(classes, dtype=np.int64)
    return np.stack([class_counts(matrix) for matrix in matrices])


def test_images_that_are_alike_have_no_spread():
    counts = np.repeat(draw_counts(1, 3), 5, axis=0)
    low, high = bootstrap_iou(counts)
    expected = compute_iou(counts[0])
    assert low == pytest.approx([expected.mean(), *expected]) and high == pytest.approx(low)


def test_the_interval_holds_the_score_and_is_the_same_each_time():
    counts = draw_counts(20, 3)
    low, high = bootstrap_iou(counts)
    iou = compute_iou(counts.sum(axis=0))
    score = np.array([iou.mean(), *iou])
    assert (low < score).all() and (score < high).all()
    assert np.array_equal(bootstrap_iou(counts), [low, high])


def test_it_is_what_summing_the_drawn_images_gives():
    counts = draw_counts(6, 2)
    rng = np.random.default_rng(0)  # the generator of the code; the images are drawn one resample after the other
    means = []
    for _ in range(1000):
        times = rng.multinomial(6, np.full(6, 1 / 6))
        drawn = np.repeat(np.arange(6), times)
        means.append(compute_iou(counts[drawn].sum(axis=0)).mean())
    assert bootstrap_iou(counts)[:, 0] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-12)


def test_more_images_more_certainty():
    few, many = (np.diff(bootstrap_iou(draw_counts(images, 3)), axis=0)[0, 0] for images in (10, 1000))
    assert many < few / 5


def test_one_image_has_no_interval():
    assert np.isnan(bootstrap_iou(draw_counts(1, 3))).all()
    assert bootstrap_iou(draw_counts(1, 3)).shape == (2, 4)


def test_a_class_that_is_nowhere_has_none_and_a_rare_one_is_in_some_sets():
    counts = draw_counts(12, 4)
    counts[:, :, 1] = 0
    counts[1:, :, 2] = 0
    low, high = bootstrap_iou(counts)
    assert np.isnan([low[2], high[2]]).all()
    assert low[3] == high[3] == pytest.approx(compute_iou(counts[0])[2])
    assert not np.isnan([*low[[0, 1, 4]], *high[[0, 1, 4]]]).any()


def miou(counts: np.ndarray) -> np.ndarray:
    return mean_of_known(compute_iou(counts))


def worsened(counts: np.ndarray, seed: int = 1) -> np.ndarray:
    worse = counts.copy()
    worse[:, 0] -= np.random.default_rng(seed).integers(0, 60, worse[:, 0].shape)
    return worse


def test_a_paired_difference_is_that_of_the_same_drawn_images():
    first = draw_counts(6, 2)
    second = worsened(first)
    rng, differences = np.random.default_rng(0), []
    for _ in range(1000):
        drawn = np.repeat(np.arange(6), rng.multinomial(6, np.full(6, 1 / 6)))
        differences.append(miou(second[drawn].sum(axis=0)) - miou(first[drawn].sum(axis=0)))
    difference, interval = compare_paired(first[None], second[None], miou)
    assert difference == pytest.approx(miou(second.sum(axis=0)) - miou(first.sum(axis=0)))
    assert interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=1e-12)


def test_a_paired_difference_agrees_with_scipy():
    first = draw_counts(80, 3)
    second = first.copy()
    second[:, 0] = second[:, 0] * 9 // 10
    index = np.arange(80)

    def statistic(drawn: np.ndarray, axis: int = -1) -> np.ndarray:  # (.., N) indices of images, drawn for both
        return miou(second[drawn].sum(axis=-3)) - miou(first[drawn].sum(axis=-3))

    options = {"n_resamples": 5000, "method": "percentile", "vectorized": True, "rng": np.random.default_rng(5)}
    expected = stats.bootstrap((index,), statistic, batch=500, **options).confidence_interval
    _, (low, high) = compare_paired(first[None], second[None], miou)
    assert (low, high) == pytest.approx(expected, abs=0.1 * (expected.high - expected.low))
    unpaired = bootstrap_iou(first)[:, 0]
    assert high - low < 0.8 * (unpaired[1] - unpaired[0])  # what both find hard cancels


def test_the_same_model_twice_differs_by_nothing():
    counts = draw_counts(9, 3)[None]
    assert compare_paired(counts, counts, miou) == (0.0, (0.0, 0.0))
    assert np.isnan(compare_paired(counts[:, :1], counts[:, :1], miou)[1]).all()


def test_several_models_are_averaged():
    first, second = draw_counts(9, 3), worsened(draw_counts(9, 3))
    difference, _ = compare_paired(first[None], np.stack([first, second]), miou)
    assert difference == pytest.approx(compare_paired(first[None], second[None], miou)[0] / 2)
