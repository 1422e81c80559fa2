"""Training state: everything that changes while a model is trained, saved and resumed exactly."""

import inspect
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from segtrain.checkpoint import restore_rng_state, rng_state
from segtrain.config.schema import Config, TrainConfig
from segtrain.devices import resolve_precision
from segtrain.distributed import highest, is_several
from segtrain.errors import CheckpointError, reason_of
from segtrain.models.model import SegmentationModel
from segtrain.training.optim import build_optimizer
from segtrain.training.schedule import Schedule, build_schedule


def is_lowest(monitor: str) -> bool:
    """Whether the lowest value of a monitored metric is the best."""
    return monitor.startswith("min ")


def read_score(values: dict[str, float], monitor: str) -> float:
    """The monitored metric among the values of an evaluation; nan where there was none."""
    return values.get(f"val/{monitor.removeprefix('min ')}", math.nan)


@dataclass
class Best:
    """The best evaluation so far; `matrix` is its confusion matrix, rows ground truth."""

    score: float = float("-inf")
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    matrix: list[list[int]] = field(default_factory=list)
    evaluations_since: int = 0


@dataclass
class TrainState:
    """Objects of a training and its position.

    `epoch` counts complete epochs, `step` the batches of the current one, `total_steps` all batches; `loss_sums` are
    the sums over those of the current epoch, so that an interrupted epoch still gets its mean. `seconds` is the time
    spent up to the last `tick`. `plan` is what optimizer and schedule were built from: their sections, epochs,
    updates_per_epoch and accumulate_steps. `samples` are Loaders.fingerprints. `callable` is the model as a step calls
    it: compiled if configured, and `shared`, which averages the gradients of several processes.
    """

    model: SegmentationModel
    callable: nn.Module
    shared: DistributedDataParallel | None
    optimizer: Optimizer
    schedule: Schedule
    device: torch.device
    dtype: torch.dtype
    scaler: torch.amp.GradScaler
    plan: dict[str, Any]
    samples: dict[str, tuple[int, str]] = field(default_factory=dict)
    ema: ModelEmaV3 | None = None
    grad_norm: Tensor | None = None  # of the latest step, before it was clipped
    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    best: Best = field(default_factory=Best)
    seconds: float = 0.0
    ticked: float = field(default_factory=time.monotonic)

    def sharing(self, *, last: bool) -> AbstractContextManager:
        """Context of the forward and backward pass of a batch: gradients are averaged in the `last` batch of a step."""
        return self.shared.no_sync() if self.shared is not None and not last else nullcontext()

    def tick(self, *values: float) -> list[float]:
        """Update `seconds`. All processes have the same value, and receive the maximum of each of the values."""
        now = time.monotonic()
        self.seconds, *values = highest(self.seconds + now - self.ticked, *values)
        self.ticked = now
        return values

    @property
    def evaluated(self) -> SegmentationModel:
        """The weights that are evaluated and kept as the best: their moving average if there is one."""
        return self.ema.module if self.ema is not None else self.model

    @property
    def updates(self) -> int:
        """Optimizer steps before the one that the current batch belongs to."""
        return self.epoch * self.plan["updates_per_epoch"] + self.step // self.plan["accumulate_steps"]

    def spent(self, config: TrainConfig) -> tuple[str, str] | None:
        """The limit, other than the epochs, that has ended the training: its key and the reason in words, or None."""
        if config.max_hours is not None and self.seconds >= 3600 * config.max_hours:
            return "max_hours", f"{config.max_hours:g} hours have passed"
        done = self.epoch * self.plan["updates_per_epoch"] - -self.step // self.plan["accumulate_steps"]
        over = config.max_steps is not None and done >= config.max_steps
        return ("max_steps", f"{config.max_steps} steps are complete") if over else None

    def to_dict(self) -> dict[str, Any]:
        """Everything that an exact resume needs, in plain types and tensors."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": rng_state(),
            "position": {"epoch": self.epoch, "step": self.step, "total_steps": self.total_steps},
            "loss_sums": dict(self.loss_sums),
            "seconds": self.seconds,
            "best": vars(self.best),
            "plan": self.plan,
            "origin": self.model.origin,
            "samples": self.samples,
        }

    def load_dict(self, content: dict[str, Any]) -> None:
        """Restore what `to_dict` saved.

        If the plan has changed (a lower lr, more epochs), the new one applies: the optimizer keeps its moments but uses
        the new settings, and the new schedule continues at the same place. Raises CheckpointError if the content
        belongs to another configuration.
        """
        settings = [dict(group) for group in self.optimizer.param_groups]
        try:
            was, now = content["plan"]["optimizer"]["name"], self.plan["optimizer"]["name"]
            if was != now:
                raise ValueError(
                    f"optimizer.name has changed from {was} to {now}, which cannot use the state of the former"
                )
            self.model.load_state_dict(content["model"])
            self.model.origin = content.get("origin", "")
            if self.ema is not None:
                self.ema.module.load_state_dict(content["ema"] or content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            if content["scaler"]:  # empty where it was saved in another precision
                self.scaler.load_state_dict(content["scaler"])
            restore_rng_state(content["rng"])
            self.epoch, self.step, self.total_steps = (
                content["position"][key] for key in ("epoch", "step", "total_steps")
            )
            self.loss_sums, self.seconds = dict(content["loss_sums"]), content.get("seconds", 0.0)
            self.best = Best(**content["best"])
            same = all(content["plan"][key] == self.plan[key] for key in ("optimizer", "schedule"))
            # To a schedule that waits for the score the length of the training means nothing.
            if content["plan"] == self.plan or (same and self.schedule.interval == "evaluation"):
                self.schedule.load_state_dict(content["schedule"])
            else:
                self._follow_new_plan(settings)
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(f"last.pt does not match this configuration: {reason_of(error)}") from error

    def _follow_new_plan(self, settings: list[dict[str, Any]]) -> None:
        """`settings`: the groups of the optimizer as built, before a checkpoint was loaded."""
        for group, built in zip(self.optimizer.param_groups, settings, strict=True):
            group.update({key: value for key, value in built.items() if key != "params"})
        epochs, per_epoch = min(self.epoch, self.plan["epochs"]), self.plan["updates_per_epoch"]
        within = min(self.step // self.plan["accumulate_steps"], per_epoch) if epochs == self.epoch else 0
        self.schedule.advance(epochs=epochs, updates=min(epochs * per_epoch + within, self.plan["epochs"] * per_epoch))

    def is_finite(self) -> bool:
        """Whether every weight and every running statistic is a number."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return bool(torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all())


def build_state(
    config: Config,
    model: SegmentationModel,
    *,
    steps_per_epoch: int,
    samples: dict[str, tuple[int, str]] | None = None,
) -> TrainState:
    """The state of a training that has not started: optimizer, schedule and everything else that changes in it. `model`
    is already on its device; `steps_per_epoch` counts batches; `samples` are Loaders.fingerprints."""
    train, device = config.train, next(model.parameters()).device
    optimizer = build_optimizer(config.optimizer, model, config.model.encoder_name or "")
    updates = -(-steps_per_epoch // train.accumulate_steps)
    length = {"epochs": train.epochs, "steps_per_epoch": updates, "max_steps": train.max_steps}
    schedule = build_schedule(config.schedule, optimizer, **length, lowest=is_lowest(train.monitor))
    dtype = resolve_precision(train.precision, device)
    decay = train.ema_decay
    shared = _share_gradients(model) if is_several() else None
    called = model if shared is None else shared
    return TrainState(
        model=model,
        callable=torch.compile(called) if train.compile else called,
        shared=shared,
        optimizer=optimizer,
        schedule=schedule,
        device=device,
        dtype=dtype,
        scaler=torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        ema=ModelEmaV3(model, decay=decay, use_warmup=True) if decay is not None else None,
        plan={
            "optimizer": config.optimizer.model_dump(mode="json"),
            "schedule": config.schedule and config.schedule.model_dump(mode="json"),
            "epochs": train.epochs,
            "updates_per_epoch": updates,
            "accumulate_steps": train.accumulate_steps,
            **({"max_steps": train.max_steps} if train.max_steps else {}),
        },
        samples=samples or {},
    )


def _share_gradients(model: SegmentationModel) -> DistributedDataParallel:
    """Some parameters have no gradient in some steps, if losses are added late; buffers are shared before they are
    used, in evaluations, not in every step."""
    name = "forward_sync_buffers"  # what newer versions of torch call it
    buffers = name if name in inspect.signature(DistributedDataParallel).parameters else "broadcast_buffers"
    options = {"find_unused_parameters": True, "gradient_as_bucket_view": True, buffers: False}
    return DistributedDataParallel(model, **options)
