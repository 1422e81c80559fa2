"""Training loop: epochs, steps, what is logged and saved after them."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from segtrain.config.schema import TrainConfig
from segtrain.data.dataset import sample_seed
from segtrain.data.loaders import Loaders
from segtrain.devices import autocast
from segtrain.distributed import is_several, rank, size
from segtrain.errors import TrainingError, count_of
from segtrain.losses.weighted import WeightedLoss
from segtrain.training.run import Run
from segtrain.training.state import TrainState, read_score
from segtrain.training.validation import evaluate_all, note_score

LONGEST_WAIT = 0.1  # of the first epoch, from which on it is said what it waits for


class LossMeter:
    """Loss values of the current epoch. They stay on the device until drained, because reading one waits for it."""

    def __init__(self, state: TrainState):
        self.state = state
        self.pending: list[tuple[int, Tensor]] = []
        self.names: list[str] = []
        self.latest: dict[str, float] = {}

    def add(self, total: Tensor, terms: dict[str, Tensor]) -> None:
        """Record the values of the latest step."""
        self.names = ["loss", *(f"loss/{name}" for name in terms)]
        self.pending.append((self.state.total_steps, torch.stack([total, *terms.values()]).detach()))
        if self.state.device.type == "cpu":
            self.drain()  # nothing to wait for

    def drain(self) -> None:
        """Read pending values. Raises TrainingError for a loss that is not finite, with its step and term."""
        if not self.pending:
            return
        steps, values = zip(*self.pending, strict=True)
        self.pending.clear()
        for step, row in zip(steps, torch.stack(values).tolist(), strict=True):
            self.latest = dict(zip(self.names, row, strict=True))
            if not np.isfinite(row).all():
                bad = [name for name, value in self.latest.items() if not np.isfinite(value)]
                what = f"{bad[-1].removeprefix('loss/')} is {self.latest[bad[-1]]}"
                raise TrainingError(_not_finite(what, step, self.state))
            for name, value in self.latest.items():
                self.state.loss_sums[name] = self.state.loss_sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Mean of each value over the epoch so far."""
        return {name: value / self.state.step for name, value in self.state.loss_sums.items()}


def _not_finite(what: str, step: int, state: TrainState) -> str:
    hint = "lower optimizer.lr or set train.clip_norm: 1.0"
    hint += " or train.precision: fp32" if state.dtype != torch.float32 else ""
    place = f"step {step} (epoch {state.epoch + 1})"
    return f"training stopped at {place}: {what}; the last checkpoint before it was kept; {hint}"


def fit(state: TrainState, loaders: Loaders, loss: WeightedLoss, config: TrainConfig, run: Run) -> None:
    """Train from the state's position to the end, evaluating, logging and saving after each epoch.

    Raises TrainingError if the loss is no longer finite, and Stopped, after saving, if the run was asked to stop.
    """
    if reason := why_finished(state, config):
        return run.log.say(f"nothing is left to train: {reason[1]}; to continue, raise train.{reason[0]}")
    stream = loaders.train.stream(state.epoch, state.step)
    meter = LossMeter(state)
    while why_finished(state, config) is None:
        values = train_one_epoch(state, stream, loaders.train.steps_per_epoch, loss, config, run, meter)
        run.require_finite(state)
        final = state.epoch + 1 == config.epochs or state.spent(config) is not None
        due = (state.epoch + 1) % config.eval_every_epochs == 0 or final
        improved = False
        if due:
            evaluation, scores = evaluate_all(state, loaders, loss, config, run, final=final)
            improved = note_score(state, evaluation, scores, config.monitor)
            state.schedule.after("evaluation", read_score(scores, config.monitor))
            values |= scores
        state.schedule.after("epoch")
        state.epoch, state.step, state.loss_sums = state.epoch + 1, 0, {}
        run.log.epoch(state.epoch, state.total_steps, values, seconds=state.seconds, best=improved)
        if due:
            run.show(state, evaluation)
        if improved:
            run.save_best(state)
        if config.save_every_epochs is not None and state.epoch % config.save_every_epochs == 0:
            run.save_epoch(state, values)
        run.save_last(state)
        if state.epoch == 1 and values["data_wait"] > LONGEST_WAIT and rank() == 0:
            from segtrain.data.bottleneck import explain_wait

            run.log.say(explain_wait(loaders.train, values["data_wait"]))
    if state.epoch < config.epochs:
        run.log.say(f"stopping early: {why_finished(state, config)[1]}")


def why_finished(state: TrainState, config: TrainConfig) -> tuple[str, str] | None:
    """The key of the limit that has ended the training, and the reason in words; None if it is not finished."""
    if state.epoch >= config.epochs:
        return "epochs", f"{count_of(state.epoch, 'epoch', 'is')} complete"
    if config.patience is not None and state.best.evaluations_since >= config.patience:
        return "patience", f"no improvement of {config.monitor} in {count_of(config.patience, 'evaluation')}"
    return state.spent(config)


def train_one_epoch(
    state: TrainState, stream: Iterator, steps: int, loss: WeightedLoss, config: TrainConfig, run: Run, meter: LossMeter
) -> dict[str, float]:
    """Train the rest of the current epoch; returns the values of its row in metrics.csv."""
    if config.freeze_encoder_epochs:
        state.model.hold_encoder(state.epoch < config.freeze_encoder_epochs)
    state.model.train()
    loss.train()
    started = time.monotonic()
    title = f"epoch {state.epoch + 1}/{run.config.train.epochs}"
    with run.log.progress(steps, title=title, initial=state.step) as progress:
        while state.step < steps and state.spent(config) is None:
            asked = time.monotonic()
            if is_several():  # no process has a generator to save
                torch.manual_seed(sample_seed(run.config.seed, state.total_steps, rank()))
            batches = [next(stream) for _ in range(min(config.accumulate_steps, steps - state.step))]
            waited = time.monotonic() - asked
            for batch, values in zip(batches, train_step(state, batches, loss, config), strict=True):
                state.step, state.total_steps = state.step + 1, state.total_steps + 1
                meter.add(*values)
                progress.update(images=size() * len(batch["name"]), loss=meter.latest.get("loss"), wait_seconds=waited)
                waited = 0.0
                if state.total_steps % run.config.log.every_steps == 0:
                    meter.drain()
                    row = meter.latest | ({} if state.grad_norm is None else {"grad_norm": float(state.grad_norm)})
                    rates = learning_rates(state)
                    run.log.step(state.total_steps, {f"train/{name}": v for name, v in row.items()} | rates)
            if run.must_save(state):  # not between two updates: last.pt holds no gradients
                meter.drain()
                run.save_last(state)
                run.stop_if_asked()
        meter.drain()
        values = {f"train/{name}": value for name, value in meter.means().items()} | learning_rates(state)
        return values | {
            "images_per_second": progress.images_per_second,
            "data_wait": progress.wait_share,
            "train_seconds": time.monotonic() - started,
        }


def train_step(
    state: TrainState, batches: Sequence[dict], loss: WeightedLoss, config: TrainConfig
) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Forward and backward passes of the batches that share an update, then the optimizer step. Returns the values of
    the loss for each batch. Does not wait for the device."""
    masks = [batch["mask"].to(state.device, non_blocking=True).long() for batch in batches]
    factors = loss.compute_factors(masks) if len(masks) > 1 else [None]
    values = []
    for number, (batch, mask, factor) in enumerate(zip(batches, masks, factors, strict=True), start=1):
        images = batch["image"].to(state.device, non_blocking=True)
        with state.sharing(last=number == len(batches)):
            with autocast(state.device, state.dtype):
                logits = state.callable(images)
            values.append(loss(logits, mask, state.epoch, factors=factor))
            state.scaler.scale(values[-1][0] / len(batches)).backward()
    update_weights(state, config)
    return values


def update_weights(state: TrainState, config: TrainConfig) -> None:
    """The optimizer step, and everything that counts such steps."""
    if config.clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        state.grad_norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.schedule.after("step")
    if state.ema is not None:
        state.ema.update(state.model, step=state.updates)


def learning_rates(state: TrainState) -> dict[str, float]:
    """The decoder's learning rate as lr, and the encoder's as lr/encoder if it differs."""
    rates = {group["part"]: group["lr"] for group in state.optimizer.param_groups}
    rate = float(rates.get("decoder", rates.get("encoder", 0.0)))
    other = float(rates.get("encoder", rate))
    return {"lr": rate} | ({"lr/encoder": other} if other != rate else {})
