"""Samples from the disk to batches of images and masks."""
