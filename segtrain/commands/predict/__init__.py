"""Predictions from files to files."""
