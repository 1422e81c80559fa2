"""Inference: from images to predictions, the same way in validation, in every command and in your own code."""
