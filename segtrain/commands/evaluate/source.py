"""Source of an evaluation: the images and masks of a split, and whether a model was trained on them."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from segtrain.checkpoint import BEST, find_checkpoint, load_checkpoint
from segtrain.config.layers import BASE_FILE
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.config.tree import dump_yaml
from segtrain.data.labels import Decoder, build_decoder
from segtrain.data.splits import read_splits
from segtrain.data.tiling import find_shared
from segtrain.errors import CheckpointError, ConfigError, DataError
from segtrain.formats.sample import SampleTable
from segtrain.inference.description import read_config
from segtrain.inference.model_files import find_kind
from segtrain.inference.task import Task

TRAINED = (None, "run", "checkpoint")  # kinds of models that hold a configuration; reading one explains None


class EvaluatedSplit(NamedTuple):
    """A split to score: its samples, the configuration of its data, and the decoder of its masks."""

    config: Config
    name: str
    samples: SampleTable
    decoder: Decoder


def config_in(model: Path, *, trust: bool) -> Config:
    """The configuration in the best.pt of a run folder or in a checkpoint. Raises CheckpointError for anything else;
    `trust`: see load_network."""
    path = find_checkpoint(model, BEST)
    return read_config(load_checkpoint(path), path, trust=trust)


def read_data_config(
    source: Path | None, models: Sequence[Path], members: Mapping[Path, Config], *, trust: bool
) -> Config:
    """The configuration of what --config names: a run folder, a checkpoint, or an experiment file as train.py takes it;
    without one, that of the first model. Raises ConfigError where that holds none."""
    if source is None and models[0] not in members:
        raise ConfigError(
            f"{models[0]}: an exported file does not say where the images are; give the run or experiment that does, "
            f"like --config runs/street-1"
        )
    if source is None:
        return members[models[0]]
    if source.is_dir():
        return load_config([], resume=str(source))
    return config_in(source, trust=trust) if find_kind(source) == "checkpoint" else load_config([str(source)])


def with_data(config: Config, overrides: Sequence[str]) -> Config:
    """The configuration with data.KEY=VALUE merged into it; the other sections have their defaults, since a checkpoint
    may name classes there that must not be looked for. Raises ConfigError for a wrong override."""
    if not overrides:
        return config
    for override in overrides:
        if not override.startswith("data."):
            raise ConfigError(
                f"command line: {override}: evaluate accepts only data.KEY=VALUE; everything else stays as trained"
            )
    kept = config.model_dump(mode="json", include={"name", "seed", "runs_dir", "data"})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, BASE_FILE).write_text(dump_yaml(kept), encoding="utf-8")
        return load_config(overrides, resume=folder)


def find_split(config: Config, split: str) -> EvaluatedSplit:
    """The samples of a split. Raises DataError where the dataset has no such split, or an empty one."""
    notes: list[str] = []
    splits = read_splits(config.data, seed=config.seed, cache=config.cache_dir, notes=notes)
    for note in notes:
        print(f"warning: {note}")
    if not splits.get(split):
        there = ", ".join(f"{name} ({len(samples)})" for name, samples in splits.items() if samples)
        roots = " and ".join(map(str, config.data.roots))
        raise DataError(
            f"--split {split}: missing or empty; {roots} read as format {config.data.format} contains: {there}"
        )
    return EvaluatedSplit(config, split, splits[split], build_decoder(config.data))


def require_unseen(evaluated: EvaluatedSplit, members: Mapping[Path, Config], overrides: Sequence[str]) -> None:
    """Raise DataError where a model was trained on an image that it is to be scored on, unless the training split is
    asked for by its name. Where a model's own data are gone, warn only."""
    if evaluated.name == "train":
        return
    for model, config in members.items():
        try:
            # The data may have been moved since; which images were trained on has not changed.
            config = with_data(config, [override for override in overrides if override.startswith("data.root=")])
            same = (config.data, config.seed) == (evaluated.config.data, evaluated.config.seed)
            if same and evaluated.name in ("val", "test"):
                continue  # read_splits has held them apart, or was asked not to
            trained = read_splits(config.data, seed=config.seed, cache=config.cache_dir)["train"]
        except (ConfigError, DataError) as error:
            print(f"warning: cannot determine which images {model} was trained on: {error}")
            continue
        seen = find_shared(evaluated.samples, trained)
        if seen:
            count = len(evaluated.samples)
            raise DataError(
                f"{model}: was trained on {len(seen)} of the {count} images of the {evaluated.name} split, such as "
                f"{seen[0]}, so the score would not be on unseen images; use --split test, or combine only models "
                f"that held out the same images (same data.fold and seed)"
            )


def require_same_task(evaluated: EvaluatedSplit, task: Task, model: Path) -> None:
    """Raise CheckpointError where the masks have other classes than the model, or the model takes other images."""
    if difference := Task.of(evaluated.config).difference(task):
        raise CheckpointError(f"{model}: has {difference[0]}, but the data to evaluate on have {difference[1]}")


def is_override(argument: str) -> bool:
    """Whether an argument is key.sub=value, and not a path of that name."""
    return bool(re.match(r"^[A-Za-z_][\w.-]*=", argument)) and not Path(argument).exists()
