"""What a training reads of a dataset, for the tests of its format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segtrain import formats
from segtrain.config.data_schema import DataConfig
from segtrain.config.layers import add_published
from segtrain.config.tree import dump_yaml, parse_yaml
from segtrain.data.splits import read_splits
from segtrain.formats.sample import Splits
from tests.formats.format_trees import decode


def data_config(**keys: Any) -> DataConfig:
    """The section `data` with these keys, with what the format knows merged below it."""
    text = dump_yaml({"data": {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}})
    return DataConfig.model_validate(add_published(parse_yaml(text)).plain()["data"])


def reader(name: str) -> Callable[..., Splits]:
    """What reads the format `name`, to be called as (root, **keys)."""

    def read(root: Path, *, seed: int = 0, **keys: Any) -> Splits:
        return formats.read_dataset(name, root, keys, seed=seed)

    return read


def decoded(root: Path, name: str, **keys: Any) -> dict[str, dict[str, list]]:
    """split -> {name of the sample: class indices of its mask, row by row}."""
    config = data_config(format=name, root=root, **keys)
    return {split: decode(config, samples) for split, samples in read_splits(config, seed=0).items()}
