"""Estimate of the time that a batch still takes, from the epochs that its runs have trained."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Pace:
    """The speed of a run as far as it is known.

    `left`: epochs to train. `seconds`: those that `epochs` of it have taken, the start of its process included.
    `since`: seconds since the last of them.
    """

    experiment: str
    left: int
    epochs: int = 0
    seconds: float = 0.0
    since: float = 0.0


def estimate_seconds(paces: Sequence[Pace], *, parallel: int) -> float | None:
    """Seconds until all runs are finished, `parallel` at a time; None before the first epoch of any.

    An epoch is taken to last as long as those of its experiment so far, or before the first of them as those of all.
    Runs that stop early make it shorter.
    """
    overall = _mean_seconds(paces)
    if overall is None:
        return None
    seconds = []
    for pace in paces:
        known = _mean_seconds([other for other in paces if other.experiment == pace.experiment])
        seconds.append(max(pace.left * (overall if known is None else known) - pace.since, 0.0))
    return max(sum(seconds) / parallel, *seconds)


def _mean_seconds(paces: Sequence[Pace]) -> float | None:
    epochs = sum(pace.epochs for pace in paces)
    return sum(pace.seconds for pace in paces) / epochs if epochs else None
