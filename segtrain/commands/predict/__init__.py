"""Predictions of files, written to files."""
