"""A training from its configuration to its report: the table of contents, in the order of the data flow."""

from pathlib import Path

import torch

from segtrain.config.schema import Config
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import Loaders, build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.statistics import ClassStatistics, read_statistics
from segtrain.data.transforms import build_eval_transform, build_transform
from segtrain.devices import resolve_device
from segtrain.distributed import from_first, require_same
from segtrain.formats.sample import Splits
from segtrain.losses.weighted import WeightedLoss
from segtrain.models.model import describe_parameters
from segtrain.training import build
from segtrain.training.failures import explained_failures
from segtrain.training.loop import fit
from segtrain.training.resume import require_same_versions, start_or_resume
from segtrain.training.schedule import try_update
from segtrain.training.state import TrainState, build_state


def check(config: Config, *, resume: str | None = None) -> str:
    """Build everything that needs no data, including weights from the hub, and discard it; return one line that
    describes it. A run to resume already has its weights. Raises ConfigError for what cannot be built, before any data
    are read."""
    device = resolve_device(config.train.device)
    with explained_failures(config):
        build_transform(config.transforms.train, ignore_index=config.data.ignore_index)
        build_eval_transform(config.transforms.val)
        build_decoder(config.data)
        model = build.place_model(config, device, pretrained=resume is None)
        build.place_loss(config, device, statistics=None)
        state = build_state(config, model, steps_per_epoch=100_000)
        try_update(config, model, state.optimizer, state.schedule)
    return f"ok: {config.name}: {config.model.title}, {describe_parameters(model)}"


def train(
    config: Config, *, resume: str | None = None, folder: Path | None = None, overfit: int | None = None
) -> tuple[Path, int]:
    """Train to the last epoch, in the next run folder or in `folder`; with `resume`, from where the run in that folder
    stopped; with `overfit`, on that many images until they are learned. Returns the run folder and the exit status."""
    build.seed_everything(config.seed)
    device = resolve_device(config.train.device)
    with explained_failures(config):
        notes: list[str] = []
        require_same_versions()
        splits = read_splits(config.data, seed=config.seed, cache=config.cache_dir, notes=notes)
        for note in notes:
            print(f"warning: {note}")
        if config.data.batch_size == "auto":
            from segtrain.training.auto_batch import fix_batch_size

            config = fix_batch_size(config, splits["train"], device, resume=resume)
        if overfit is not None:
            from segtrain.training.overfit import fit_few, narrow

            config, splits = narrow(config, splits, overfit)
        state, loaders, loss, statistics = prepare(config, splits, device, pretrained=resume is None)
        with start_or_resume(config, state, resume=resume, folder=folder) as run:
            build.describe_training(run, state, loaders, loss, statistics)
            if run.log.has_wandb:
                from segtrain.training.observe import observe

                observe(state, loaders, run)
            if overfit is not None:
                return run.folder, fit_few(state, loaders, loss, config, run)
            fit(state, loaders, loss, config.train, run)
            run.report(state)
            return run.folder, 0


def prepare(
    config: Config, splits: Splits, device: torch.device, *, pretrained: bool = True
) -> tuple[TrainState, Loaders, WeightedLoss, ClassStatistics]:
    """Everything before the first step of a training; see `place_model` for `pretrained`."""
    data, decoder = config.data, build_decoder(config.data)
    statistics = from_first(
        lambda: read_statistics(splits, decoder, names=data.class_names, cache=config.cache_dir, most=data.statistics)
    )
    if data.tile is not None:
        from segtrain.data.tiling import drop_ignored

        splits, statistics = drop_ignored(splits, statistics)
    loaders = build_loaders(config, splits, decoder, device_type=device.type, presence=statistics.presence)
    for split, (count, digest) in loaders.fingerprints.items():
        require_same(f"the {split} images", f"{count} with names of digest {digest}")
    model = build.place_model(config, device, pretrained=pretrained)
    loss = build.place_loss(config, device, statistics=statistics)
    steps = loaders.train.steps_per_epoch
    return build_state(config, model, steps_per_epoch=steps, samples=loaders.fingerprints), loaders, loss, statistics
