"""What a training reads of a published data set, for the tests of its format."""

from pathlib import Path
from typing import Any

from segtrain.config.data_schema import DataConfig
from segtrain.data.splits import read_splits
from tests.formats.format_trees import decode


def decoded(root: Path, name: str, **keys: Any) -> dict[str, dict[str, list]]:
    """split -> {name of the sample: class indices of its mask, row by row}."""
    config = DataConfig(format=name, root=root, **keys)
    return {split: decode(config, samples) for split, samples in read_splits(config, seed=0).items()}
