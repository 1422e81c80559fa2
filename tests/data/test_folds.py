import numpy as np
import pytest

from segtrain.data.splits import assign_folds
from segtrain.errors import DataError


def names(count):
    return [f"image {index}" for index in range(count)]


def test_every_fold_has_its_share_of_every_class():
    rng = np.random.default_rng(0)
    presence = rng.random((200, 4)) < [0.9, 0.5, 0.1, 0.025]
    presence[:5, 3] = True
    folds = assign_folds(presence, names(200), folds=5, seed=0)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.sum() == 200 and sizes.min() >= 38 and sizes.max() <= 42
    for class_presence in presence.T:
        of_class = np.bincount(folds[class_presence], minlength=5)
        assert of_class.max() - of_class.min() <= 2, of_class


def test_a_class_with_one_sample_for_each_fold_is_in_each():
    presence = np.zeros((30, 2), bool)
    presence[:, 0] = True
    presence[[3, 4, 5], 1] = True
    for seed in range(10):
        assert sorted(assign_folds(presence, names(30), folds=3, seed=seed)[[3, 4, 5]]) == [0, 1, 2]


def test_groups_stay_together_and_folds_are_of_one_size():
    groups = [f"patient {index // 4}" for index in range(80)]
    presence = np.ones((80, 1), bool)
    folds = assign_folds(presence, groups, folds=4, seed=0)
    assert all(len(set(folds[start : start + 4])) == 1 for start in range(0, 80, 4))
    assert np.bincount(folds).tolist() == [20, 20, 20, 20]


def test_the_seed_decides_and_the_order_of_the_samples_does_not():
    presence = np.random.default_rng(1).random((60, 3)) < 0.4
    first = assign_folds(presence, names(60), folds=3, seed=0)
    turned = assign_folds(presence[::-1], names(60)[::-1], folds=3, seed=0)
    assert (first == turned[::-1]).all()
    assert (first != assign_folds(presence, names(60), folds=3, seed=1)).any()


def test_samples_without_any_class_are_spread_too():
    folds = assign_folds(np.zeros((9, 2), bool), names(9), folds=3, seed=0)
    assert np.bincount(folds).tolist() == [3, 3, 3]


def test_too_few_groups():
    with pytest.raises(DataError, match=r"data.folds: 2 groups of samples cannot be split into 3 folds"):
        assign_folds(np.ones((6, 1), bool), ["a", "b"] * 3, folds=3, seed=0)
