"""The log of a run: console, metrics.csv, Weights & Biases, TensorBoard."""

SUMMARY = "summary.json"  # of a training that has come to its end
