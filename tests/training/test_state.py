from types import SimpleNamespace

import pytest
import torch

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from segtrain.config.schema import ModelConfig, OptimizerConfig, ScheduleConfig, TrainConfig
from segtrain.errors import CheckpointError
from segtrain.training.state import Best, TrainState, build_state
from tests.tiny_model import tiny_model


def state_of(
    *,
    seed: int = 0,
    name: str = "AdamW",
    schedule_name: str = "OneCycleLR",
    epochs: int = 2,
    accumulate_steps: int = 1,
    ema_decay: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> TrainState:
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    config = SimpleNamespace(
        model=ModelConfig(),
        optimizer=OptimizerConfig(name=name, lr=0.01),
        schedule=ScheduleConfig(name=schedule_name),
        train=TrainConfig(epochs=epochs, accumulate_steps=accumulate_steps, ema_decay=ema_decay, precision=precision),
    )
    return build_state(config, tiny_model(seed=seed), steps_per_epoch=10 * accumulate_steps)


def train(state: TrainState, steps: int) -> None:
    """Steps on random images: the generator of torch is part of what a state holds."""
    for _ in range(steps):
        state.optimizer.zero_grad()
        state.model(torch.rand(2, 3, 32, 32) * 255).square().mean().backward()
        state.optimizer.step()
        state.schedule.after("step")
        state.total_steps += 1
        if state.ema is not None:
            state.ema.update(state.model, step=state.total_steps)


def weights(model) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_saved_state_goes_on_bit_for_bit(tmp_path, ema_decay):
    state = state_of(ema_decay=ema_decay)
    train(state, 3)
    state.epoch, state.step, state.loss_sums = 1, 2, {"loss": 0.5}
    state.best = Best(score=0.7, epoch=1, metrics={"miou": 0.7}, matrix=[[3, 1], [0, 2]], evaluations_since=1)
    save_checkpoint(tmp_path / "last.pt", state.to_dict())
    train(state, 3)

    other = state_of(seed=9, ema_decay=ema_decay)
    train(other, 1)
    other.load_dict(load_checkpoint(tmp_path / "last.pt"))
    assert (other.epoch, other.step, other.total_steps, other.loss_sums) == (1, 2, 3, {"loss": 0.5})
    assert other.best == Best(score=0.7, epoch=1, metrics={"miou": 0.7}, matrix=[[3, 1], [0, 2]], evaluations_since=1)
    train(other, 3)
    assert torch.equal(weights(other.model), weights(state.model))
    assert torch.equal(weights(other.evaluated), weights(state.evaluated))
    assert other.optimizer.param_groups[0]["lr"] == state.optimizer.param_groups[0]["lr"]


def test_an_average_that_is_switched_on_starts_from_the_saved_weights():
    state, other = state_of(), state_of(seed=9, ema_decay=0.9)
    other.load_dict(state.to_dict())
    assert torch.equal(weights(other.evaluated), weights(state.model))


def test_the_state_of_another_configuration_is_refused():
    content = state_of().to_dict()
    for change in ({"model": {}}, {"optimizer": {"state": {}, "param_groups": []}}, {"position": {}}):
        with pytest.raises(CheckpointError) as error:
            state_of().load_dict(content | change)
        assert str(error.value).startswith("last.pt does not match this configuration: ")
    content.pop("best")
    with pytest.raises(CheckpointError, match=r"^last\.pt does not match this configuration: 'best'$"):
        state_of().load_dict(content)


def test_another_optimizer_cannot_go_on():
    content = state_of().to_dict()
    with pytest.raises(CheckpointError, match=r"optimizer\.name has changed from AdamW to RMSprop, which cannot use"):
        state_of(name="RMSprop").load_dict(content)


@pytest.mark.parametrize(("saved", "now"), [(torch.float32, torch.float16), (torch.float16, torch.bfloat16)])
def test_another_precision_goes_on(saved, now):
    state, other = state_of(dtype=saved), state_of(seed=9, dtype=now)
    other.load_dict(state.to_dict())
    assert torch.equal(weights(other.model), weights(state.model))
    assert other.scaler.is_enabled() == (now == torch.float16)


def test_a_rate_that_follows_the_score_outlives_a_longer_training():
    """Patience 10: the twelfth score that is no better lowers the rate tenfold, whatever is trained after it."""
    state = state_of(schedule_name="ReduceLROnPlateau")
    for _ in range(12):
        state.schedule.after("evaluation", 0.5)
    other = state_of(seed=9, schedule_name="ReduceLROnPlateau", epochs=6)
    other.load_dict(state.to_dict())
    assert other.optimizer.param_groups[0]["lr"] == pytest.approx(0.001)
    for _ in range(11):
        other.schedule.after("evaluation", 0.5)
    assert other.optimizer.param_groups[0]["lr"] == pytest.approx(0.0001)


def test_updates_are_counted_and_not_batches():
    """10 updates an epoch of 4 batches each, the last of fewer: batch 9 of epoch 3 belongs to update 20 + 2."""
    state = state_of(accumulate_steps=4)
    counted = []
    for state.epoch, state.step in ((0, 0), (0, 3), (0, 4), (2, 9)):
        counted.append(state.updates)
    assert counted == [0, 0, 1, 22]


def test_whether_every_weight_is_a_number():
    state = state_of()
    assert state.is_finite()
    state.model.net.encoder[1].running_var[0] = float("inf")
    assert not state.is_finite()
    state = state_of()
    with torch.no_grad():
        state.model.net.head.weight[0, 0] = float("nan")
    assert not state.is_finite()


def test_the_moving_average_of_the_weights():
    state = state_of(ema_decay=0.9)
    assert state.evaluated is state.ema.module
    bias = state.model.net.head.bias
    with torch.no_grad():
        state.evaluated.net.head.bias.fill_(0.0)
        bias.fill_(1.0)
    # timm's warm-up after a million steps is over: 0.9 * 0 + 0.1 * 1, then 0.9 * 0.1 + 0.1 * 1
    for expected in (0.1, 0.19):
        state.ema.update(state.model, step=1_000_000)
        torch.testing.assert_close(state.evaluated.net.head.bias, torch.full((2,), expected))
    assert state_of().evaluated is not None and state_of().ema is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_only_fp16_scales_the_loss(dtype):
    assert state_of(dtype=dtype).scaler.is_enabled() == (dtype == torch.float16)
