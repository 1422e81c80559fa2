"""Learning-rate schedule: a torch scheduler after a warmup, and what it counts."""

import inspect
import math
import warnings
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from segtrain.config.libraries import find
from segtrain.config.schema import Config, ScheduleConfig
from segtrain.errors import ConfigError
from segtrain.training.optim import explained


class Schedule:
    """A torch scheduler that knows what it counts: optimizer steps, epochs, or evaluations (ReduceLROnPlateau).

    In the first `warmup` optimizer steps the learning rates are a rising share of the scheduler's; a scheduler that
    counts steps starts after them.
    """

    def __init__(self, scheduler: Any, interval: str, *, warmup: int = 0):
        self.scheduler, self.interval = scheduler, interval
        self.warmup, self.warmed = warmup, 0
        self.targets: list[Any] = []
        self._scale()

    def _scale(self) -> None:
        """Reduce the rates of the scheduler to a share of them; to all of them in the last step of the warmup."""
        if self.warmed < self.warmup:
            self.targets = [group["lr"] for group in self.scheduler.optimizer.param_groups]
            for group, target in zip(self.scheduler.optimizer.param_groups, self.targets, strict=True):
                group["lr"] = target * (self.warmed + 1) / self.warmup

    def _unscale(self) -> None:
        if self.warmed < self.warmup:
            for group, target in zip(self.scheduler.optimizer.param_groups, self.targets, strict=True):
                group["lr"] = target

    def after(self, interval: str, *score: float) -> None:
        """Call this after every "step" of the optimizer, every "epoch", and every "evaluation" with its score."""
        if self.scheduler is None:
            return
        self._unscale()
        if interval == "step" and self.warmed < self.warmup:
            self.warmed += 1
        if interval == self.interval and (interval != "step" or self.warmed >= self.warmup):
            self._advance(*score)
        self._scale()

    def _advance(self, *score: float) -> None:
        if self.scheduler.last_epoch + 1 >= getattr(self.scheduler, "total_steps", float("inf")):
            return  # past its last step OneCycleLR turns upwards again
        with warnings.catch_warnings():
            # The optimizer has taken no step yet where fp16 skipped its first one, or while `advance` is counting.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self.scheduler.step(*score)

    def state_dict(self) -> dict:
        """What a resumed training needs, in plain types."""
        if self.scheduler is None:
            return {}
        state = self.scheduler.state_dict()
        return {"scheduler": state, "warmed": self.warmed, "targets": self.targets} if self.warmup else state

    def load_state_dict(self, state: dict) -> None:
        """Restore a saved state."""
        if self.warmup:
            state, self.warmed, self.targets = (state[key] for key in ("scheduler", "warmed", "targets"))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)

    def advance(self, *, epochs: int, updates: int) -> None:
        """Move a new schedule to the position of a training. One that follows the score starts from scratch."""
        for _ in range(updates):
            self.after("step")
        for _ in range(epochs):
            self.after("epoch")


def build_schedule(
    config: ScheduleConfig | None,
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    max_steps: int | None = None,
    lowest: bool = False,
) -> Schedule:
    """The schedule of an experiment.

    Fills in what follows from the length of the training. Raises ConfigError if the scheduler rejects an argument, and
    for a warmup that is not an integer number of steps, or as long as the training.

    Args:
        epochs: of the training.
        steps_per_epoch: optimizer steps, not batches.
        max_steps: optimizer steps after which the training ends.
        lowest: whether the lowest score is the best.
    """
    if config is None:
        return Schedule(None, "step")
    target = find("schedule", config.name)
    steps = min(epochs * steps_per_epoch, max_steps or math.inf)
    warmup = round(config.warmup * steps) if config.warmup < 1 else config.warmup
    if warmup != int(warmup):
        raise ConfigError(f"schedule.warmup: {warmup:g} is neither a share below 1 nor an integer number of steps")
    if warmup >= steps:
        raise ConfigError(f"schedule.warmup: {warmup:g} steps, but the training has {steps}; write fewer, or a share")
    total = math.ceil(steps / steps_per_epoch) if config.interval == "epoch" else steps - max(int(warmup) - 1, 0)
    follows = {
        "max_lr": [group["lr"] for group in optimizer.param_groups],
        "total_steps": total,
        "T_max": total,
        "total_iters": total,
    }
    if target is ReduceLROnPlateau:
        follows["mode"] = "min" if lowest else "max"
    named = inspect.signature(target).parameters
    arguments = {key: value for key, value in follows.items() if key in named} | config.arguments
    if target is OneCycleLR:
        arguments["pct_start"] = _rise(arguments.get("pct_start", named["pct_start"].default), arguments["total_steps"])
    with explained("schedule", config.name):
        scheduler = target(optimizer, **arguments)
    return Schedule(scheduler, "evaluation" if target is ReduceLROnPlateau else config.interval, warmup=int(warmup))


def try_update(config: Config, model: nn.Module, optimizer: Optimizer, schedule: Schedule) -> None:
    """One step with gradients of 0, after which the weights must not be used. Raises ConfigError for a setting that is
    only rejected in a step."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    with explained("optimizer", config.optimizer.name):
        optimizer.step()
    schedule.warmed = schedule.warmup  # behind which the scheduler takes its first step
    with explained("schedule", config.schedule.name if config.schedule else ""):
        schedule.after(schedule.interval, *([0.5] if schedule.interval == "evaluation" else []))


def _rise(pct_start: Any, total_steps: Any) -> Any:
    """The share of the steps in which OneCycleLR rises; torch divides by zero if that is exactly one step."""
    numbers = isinstance(pct_start, float) and isinstance(total_steps, int)
    return pct_start * (1 - 1e-9) if numbers and math.isclose(pct_start * total_steps, 1) else pct_start
