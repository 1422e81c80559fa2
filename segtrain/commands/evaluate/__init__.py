"""Evaluation: every score at the original size of the images, and how sure the scores are."""
