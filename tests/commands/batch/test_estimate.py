import pytest

from segtrain.commands.batch.estimate import Pace, estimate_seconds


def test_nothing_is_known_before_the_first_epoch() -> None:
    assert estimate_seconds([Pace("a", left=10), Pace("b", left=5)], parallel=1) is None


def test_an_epoch_lasts_as_long_as_those_of_its_experiment() -> None:
    # a: 20 s for 2 epochs and 10 s for 3 are 6 s each; b: 30 s. 8 x 6 + 2 x 30
    paces = [Pace("a", left=8, epochs=2, seconds=20), Pace("a", left=0, epochs=3, seconds=10), Pace("b", 2, 1, 30)]
    assert estimate_seconds(paces, parallel=1) == pytest.approx(108)


def test_an_experiment_that_has_not_begun_is_taken_for_the_mean_of_all() -> None:
    assert estimate_seconds([Pace("a", 4, 1, 10), Pace("b", 3, 0, 0)], parallel=1) == pytest.approx(70)


def test_several_at_a_time_take_as_long_as_the_longest_at_least() -> None:
    paces = [Pace("a", 10, 1, 1), Pace("a", 2), Pace("a", 2)]
    assert estimate_seconds(paces, parallel=1) == pytest.approx(14)
    assert estimate_seconds(paces, parallel=2) == pytest.approx(10)
    assert estimate_seconds([Pace("a", 6, 1, 1), Pace("a", 6), Pace("a", 6)], parallel=2) == pytest.approx(9)


def test_what_has_passed_of_an_epoch_is_taken_off() -> None:
    assert estimate_seconds([Pace("a", 2, 1, 100, since=30)], parallel=1) == pytest.approx(170)
    assert estimate_seconds([Pace("a", 1, 1, 100, since=130)], parallel=1) == 0  # slower than before
