"""Runtimes: one module for each form of exported file, which loads it and runs it.

Each has `load(path: Path, *, device: torch.device, precision: str | None) -> Network`, an `ExportedNetwork` in general.
It raises CheckpointError for a file that is damaged or that segtrain did not write, ConfigError where a library, the
device or the precision is not there. Libraries that are extras of segtrain are imported in `load` alone. The module of
the same name in segtrain/commands/export writes the form.
"""
