"""Overfitting on purpose: a few images, learned by heart, are the quickest proof that network and data fit."""

import math

from segtrain.config.schema import Config
from segtrain.data.loaders import Loaders
from segtrain.data.transforms import build_eval_transform, resized
from segtrain.errors import ConfigError, count_of
from segtrain.formats.sample import Splits
from segtrain.images.reading import image_size
from segtrain.losses.weighted import WeightedLoss
from segtrain.training.loop import fit
from segtrain.training.run import Run
from segtrain.training.state import TrainState

TARGET = 0.95  # mIoU
EPOCH_STEPS = 20  # and then an evaluation
MOST_EPOCHS = 50


def narrow(config: Config, splits: Splits, count: int) -> tuple[Config, Splits]:
    """The experiment on the first `count` training images, which are validation images too: at a constant rate, without
    augmentation, padded to one size. Raises ConfigError where there are fewer."""
    few = splits["train"].take(range(min(count, len(splits["train"]))))
    if len(few) < count:
        raise ConfigError(f"--overfit {count}: there are only {len(few)} training images")
    pipeline = build_eval_transform(config.transforms.val)
    sizes = [resized(pipeline, image_size(sample.image)) for sample in few]
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    pad = {"PadIfNeeded": {"min_height": height, "min_width": width}}
    batch = min(config.data.batch_size, count)
    train = {"epochs": MOST_EPOCHS, "eval_every_epochs": 1, "monitor": "miou", "patience": None, "accumulate_steps": 1}
    train |= {"ema_decay": None, "max_steps": None, "max_hours": None, "save_every_epochs": None}
    changes = {
        "name": f"{config.name}-overfit",
        "data": config.data.model_copy(update={"batch_size": batch, "balance": 0.0, "mix": None}),
        "transforms": config.transforms.model_copy(update={"train": [*config.transforms.val, pad]}),
        "schedule": None,
        "train": config.train.model_copy(update=train),
        "log": config.log.model_copy(update={"wandb": config.log.wandb.model_copy(update={"mode": "disabled"})}),
    }
    repeats = math.ceil(EPOCH_STEPS * batch / count)  # so that an epoch has its steps
    return config.model_copy(update=changes), {"train": few.take([*range(count)] * repeats), "val": few}


def fit_few(state: TrainState, loaders: Loaders, loss: WeightedLoss, config: Config, run: Run) -> int:
    """Train until the images are learned, and say whether they are: the exit status, 0 or 1."""
    few = len(loaders.val.dataset)
    run.log.say(
        f"overfit  {len(loaders.train.dataset) // few} x {count_of(few, 'image')} in an epoch, until mIoU is {TARGET}"
    )
    for epochs in range(1, MOST_EPOCHS + 1):
        fit(state, loaders, loss, config.train.model_copy(update={"epochs": epochs}), run)
        if state.best.score >= TARGET:
            break
    run.report(state)
    learned = state.best.score >= TARGET
    verdict = "the network can learn the data"
    if not learned:
        verdict = (
            f"not memorized, which takes {TARGET}; look at {run.folder}/predictions: do the masks match their images?"
        )
    print(f"overfit: mIoU {state.best.score:.4f} on {count_of(few, 'image')}, {verdict}")
    return 0 if learned else 1
