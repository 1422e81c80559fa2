"""Plan of a batch: its runs, each an experiment with a seed and a fold, checked before the first one starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrain.config.layers import BASE_FILE, OVERRIDE
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.config.tree import flatten
from segtrain.errors import ConfigError, SegtrainError
from segtrain.log.record import FAILED, RunRecord, read_record

# What a run may go on with after it was changed: where and how it is trained, not what comes of it.
MAY_CHANGE = ("log.", "runs_dir", "train.device", "train.save_every_", "data.workers", "data.cache")


@dataclass(frozen=True)
class PlannedRun:
    """A run of a batch.

    `layers`: the arguments of train.py that describe it, which give `config`. `fold`: None where none was asked for.
    """

    folder: Path
    layers: list[str]
    config: Config
    fold: int | None

    @property
    def name(self) -> str:
        """The name of the experiment, with seed and fold: street-seed0-fold2."""
        return self.folder.name

    @property
    def console(self) -> Path:
        """The file that its process writes to."""
        return self.folder.parent / ".console" / f"{self.name}.txt"

    def read(self) -> RunRecord | None:
        """The run as its folder has it; None where it has not begun. Raises CheckpointError where that cannot be read,
        or is the folder of something else."""
        if not any(self.folder.glob("[!.]*")):
            return None  # a process that was killed at once may leave its lock
        return read_record(self.folder)


def plan_runs(
    arguments: Sequence[str], *, seeds: Sequence[int | None], folds: Sequence[int | None] | None
) -> list[PlannedRun]:
    """All runs: of each experiment file in `arguments`, with its `key.sub=value`, those of all seeds and folds.

    Args:
        seeds: a None leaves the seed as the experiment has it, and out of the name.
        folds: a None does the same with the fold; None instead of a list is all folds of data.folds.

    Raises:
        ConfigError: all that is wrong, a line each: mistakes in experiments, two of the same name, run folders that
            hold something else, or a run that was begun with another configuration.
    """
    overrides = [argument for argument in arguments if OVERRIDE.match(argument)]
    files = dict.fromkeys(argument for argument in arguments if not OVERRIDE.match(argument))
    runs: dict[Path, PlannedRun] = {}
    sources: dict[Path, str] = {}
    mistakes: list[str] = []
    for file in files or [BASE_FILE]:
        try:
            for run in _runs_of(file, [*([file] if files else []), *overrides], seeds, folds):
                if sources.setdefault(run.folder, file) != file:
                    name = run.config.name
                    raise ConfigError(
                        f"{file}: has the same name, {name}, as {sources[run.folder]}; give each "
                        f"experiment its own name"
                    )
                _require_same(run)
                runs[run.folder] = run
        except SegtrainError as error:
            mistakes += error.args
    if mistakes:
        raise ConfigError(*dict.fromkeys(mistakes))
    return list(runs.values())


def _runs_of(
    file: str, layers: list[str], seeds: Sequence[int | None], folds: Sequence[int | None] | None
) -> Iterator[PlannedRun]:
    config = load_config(layers)
    by_table = "val_fold" in config.data.arguments
    if folds != [None] and not by_table and config.data.folds is None:
        raise ConfigError(f"{file}: --folds needs data.folds, the number of folds; add data.folds=5 to the command")
    if folds is None and by_table:
        raise ConfigError(f"{file}: the folds are those of a table; list them, like --folds 0,1,2")
    if config.log.wandb.group is None:
        layers = [*layers, f"log.wandb.group='{config.name}'"]
    for seed in seeds:
        for fold in range(config.data.folds) if folds is None else folds:
            own, name = list(layers), config.name
            if seed is not None:
                own.append(f"seed={seed}")
                name += f"-seed{seed}"
            if fold is not None:
                own.append(f"data.{'val_fold' if by_table else 'fold'}={fold}")
                name += f"-fold{fold}"
            yield PlannedRun(config.runs_dir / name, own, load_config(own), fold)


def _require_same(run: PlannedRun) -> None:
    """Raises ConfigError where the run was begun with another configuration and has saved what it learned."""
    record = run.read()
    if record is None or record.state == FAILED:
        return
    was, now = (flatten(config.model_dump(mode="json")) for config in (record.config, run.config))
    for key in [*was, *now]:
        if not key.startswith(MAY_CHANGE) and str(was.get(key)) != str(now.get(key)):
            raise ConfigError(
                f"{run.folder}: was trained with {key}: {was.get(key)}, not {now.get(key)}; move it elsewhere or "
                f"give the experiment another name"
            )
