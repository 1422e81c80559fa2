from collections import Counter

import numpy as np

from segtrain.data.dataset import ClassBalance

# Class 0 is everywhere, class 1 in one of a hundred images, class 2 in none, class 3 in two.
PRESENCE = np.zeros((100, 4), bool)
PRESENCE[:, 0] = True
PRESENCE[17, 1] = True
PRESENCE[[3, 50], 3] = True


def test_every_class_is_drawn_as_often_and_is_in_its_image():
    balance = ClassBalance(1.0, PRESENCE)
    chosen = [balance.choose(0, seed) for seed in range(3000)]
    classes = Counter(target for _, target in chosen)
    assert set(classes) == {0, 1, 3} and all(900 < count < 1100 for count in classes.values())
    assert all(PRESENCE[index, target] for index, target in chosen)
    assert {index for index, target in chosen if target == 3} == {3, 50}
    assert len({index for index, target in chosen if target == 0}) == 100


def test_the_others_are_taken_as_they_come():
    balance = ClassBalance(0.25, PRESENCE)
    chosen = [balance.choose(42, seed) for seed in range(2000)]
    kept = [index for index, target in chosen if target is None]
    assert set(kept) == {42} and 1430 < len(kept) < 1570
    assert chosen == [balance.choose(42, seed) for seed in range(2000)]
    assert ClassBalance(1.0, np.zeros((5, 2), bool)).choose(4, 0) == (4, None)
