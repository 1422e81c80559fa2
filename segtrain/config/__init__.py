"""Configuration: YAML layers to one checked experiment. Imports nothing slow."""
