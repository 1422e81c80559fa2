"""Optimizer and learning-rate schedule."""

import inspect
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from segtrain.config.libraries import find
from segtrain.config.schema import Config, OptimizerConfig, ScheduleConfig
from segtrain.errors import ConfigError, reason_of
from segtrain.models.model import SegmentationModel

UNUSABLE = {
    "LBFGS": "evaluates the loss many times a step, which a training on batches cannot give",
    "Adahessian": "needs second derivatives, which a training step does not compute",
    "Lookahead": "goes around another optimizer, which cannot be written here",
    "SparseAdam": "takes sparse gradients alone, and those of a network of images are dense",
}


def parameter_groups(model: SegmentationModel, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Encoder and decoder, each with and without weight decay; what is frozen is in none, and no group is empty.

    Biases and the scales of norms (everything of one dimension) get no weight decay: it would pull norms towards zero.
    """
    encoder = {id(parameter) for parameter in model.encoder.parameters()} if model.encoder is not None else set()
    groups: dict[str, dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        part = "encoder" if id(parameter) in encoder else "decoder"
        decay = parameter.ndim > 1
        lr = config.lr * (config.encoder_lr_factor if part == "encoder" else 1.0)
        empty = {"params": [], "lr": lr, "weight_decay": config.weight_decay if decay else 0.0, "part": part}
        groups.setdefault(f"{part}/{decay}", empty)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(config: OptimizerConfig, model: SegmentationModel) -> Optimizer:
    """The optimizer of an experiment. Raises ConfigError where it refuses an argument or needs another kind of step."""
    target = find("optimizer", config.name)
    groups = parameter_groups(model, config)
    named = inspect.signature(target).parameters
    if "weight_decay" not in named:
        groups = [{key: value for key, value in group.items() if key != "weight_decay"} for group in groups]
    if target.__name__ in UNUSABLE:
        raise ConfigError(f"optimizer: {target.__name__} {UNUSABLE[target.__name__]}")
    with _explained("optimizer", config.name):
        return target(groups, **({"lr": config.lr} if "lr" in named else {}), **config.arguments)


class Schedule:
    """A torch scheduler that knows what it counts: optimizer steps, epochs, or evaluations (ReduceLROnPlateau)."""

    def __init__(self, scheduler: Any, interval: str):
        self.scheduler = scheduler
        self.interval = interval

    def after(self, interval: str, *score: float) -> None:
        """To be called after every "step" of the optimizer, every "epoch", and every "evaluation" with its score, of
        which higher is better."""
        if self.scheduler is None or self.interval != interval:
            return
        if self.scheduler.last_epoch + 1 >= getattr(self.scheduler, "total_steps", float("inf")):
            return  # past its last step OneCycleLR turns upwards again
        with warnings.catch_warnings():
            # The optimizer has taken no step yet where fp16 skipped its first one, or while `advance` is counting.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self.scheduler.step(*score)

    def state_dict(self) -> dict:
        """What a resumed training needs, in plain types."""
        return self.scheduler.state_dict() if self.scheduler is not None else {}

    def load_state_dict(self, state: dict) -> None:
        """Take over a saved state."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)

    def advance(self, *, epochs: int, updates: int) -> None:
        """Bring a new schedule to where a training stands. One that follows the score starts anew."""
        for _ in range(updates):
            self.after("step")
        for _ in range(epochs):
            self.after("epoch")


def build_schedule(
    config: ScheduleConfig | None, optimizer: Optimizer, *, epochs: int, steps_per_epoch: int
) -> Schedule:
    """The schedule of an experiment; `steps_per_epoch` counts steps of the optimizer, not batches.

    Fills in what follows from the length of the training. Raises ConfigError where the scheduler refuses an argument.
    """
    if config is None:
        return Schedule(None, "step")
    target = find("schedule", config.name)
    total = epochs if config.interval == "epoch" else epochs * steps_per_epoch
    follows = {
        "max_lr": [group["lr"] for group in optimizer.param_groups],
        "total_steps": total,
        "T_max": total,
        "total_iters": total,
    }
    if target is ReduceLROnPlateau:
        follows["mode"] = "max"
    named = inspect.signature(target).parameters
    arguments = {key: value for key, value in follows.items() if key in named} | config.arguments
    if target is OneCycleLR:
        arguments["pct_start"] = _rise(arguments.get("pct_start", named["pct_start"].default), arguments["total_steps"])
    with _explained("schedule", config.name):
        scheduler = target(optimizer, **arguments)
    return Schedule(scheduler, "evaluation" if target is ReduceLROnPlateau else config.interval)


# What to write, by words of torch's own error.
ADVICE = {
    "cycle_momentum": "; write schedule.cycle_momentum: false",
    "Muon only supports 2D": "; write optimizer.name: timm.optim.Muon, which takes all",
}


@contextmanager
def _explained(section: str, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        advice = next((advice for words, advice in ADVICE.items() if words in str(error)), "")
        raise ConfigError(f"{section}: {name}: {reason_of(error).rstrip('.')}{advice}") from error


def try_update(config: Config, model: nn.Module, optimizer: Optimizer, schedule: "Schedule") -> None:
    """One step with gradients of 0, after which the weights are not to be used. Raises ConfigError for a setting that
    is refused no earlier."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    with _explained("optimizer", config.optimizer.name):
        optimizer.step()
    with _explained("schedule", config.schedule.name if config.schedule else ""):
        schedule.after(schedule.interval, *([0.5] if schedule.interval == "evaluation" else []))


def _rise(pct_start: Any, total_steps: Any) -> Any:
    """The share of the steps in which OneCycleLR rises; torch divides by zero where that is exactly one step."""
    numbers = isinstance(pct_start, float) and isinstance(total_steps, int)
    return pct_start * (1 - 1e-9) if numbers and math.isclose(pct_start * total_steps, 1) else pct_start


def describe_parameters(model: nn.Module) -> str:
    """Number of parameters, and of those that are trained where they differ."""
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return f"{total / 1e6:.1f} M parameters" + (f", {trained / 1e6:.1f} M of them trained" if trained < total else "")
