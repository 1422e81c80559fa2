"""Training samples that are drawn for a class, so that rare ones are seen more often."""

import numpy as np


class ClassBalance:
    """Chooses samples by the classes they have.

    Args:
        share: 0..1, how many of the samples are drawn for a class; the others are taken as they come.
        presence: bool (N, C), whether sample n has a pixel of class c. A class that no sample has is never drawn.
    """

    def __init__(self, share: float, presence: np.ndarray):
        self.share = share
        classes, self._samples = np.nonzero(presence.T)  # one array for all classes: forked processes share it
        self._classes = np.flatnonzero(presence.any(axis=0))
        self._starts = np.searchsorted(classes, self._classes)
        self._ends = np.searchsorted(classes, self._classes, side="right")

    def choose(self, index: int, seed: int) -> tuple[int, int | None]:
        """The sample to take instead of `index`, and the class it is drawn for, or None; `seed` decides alone."""
        rng = np.random.default_rng((seed, 1))  # another stream than that of the augmentation
        if not len(self._classes) or rng.random() >= self.share:
            return index, None
        place = rng.integers(len(self._classes))
        return int(self._samples[rng.integers(self._starts[place], self._ends[place])]), int(self._classes[place])
