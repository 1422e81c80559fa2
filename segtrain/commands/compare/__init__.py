"""Comparison of runs: scores with their intervals, settings, classes, images; and the list of a folder's runs."""
