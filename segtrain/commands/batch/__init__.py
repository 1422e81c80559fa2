"""Batch: the runs of several experiments, seeds and folds, a process each."""
