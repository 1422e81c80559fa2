"""The log of a run: console, metrics.csv, Weights & Biases, TensorBoard."""
