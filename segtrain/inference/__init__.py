"""From images to predictions, the same way in validation, in prediction and in your own code."""

from segtrain.inference.predictor import Predictor

__all__ = ["Predictor"]
