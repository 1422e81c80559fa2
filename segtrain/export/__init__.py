"""Models in the formats of other runtimes, each compared with the Predictor before it is called done."""
