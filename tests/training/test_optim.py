import functools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segtrain.config.libraries import accepted, known_names
from segtrain.config.schema import ModelConfig, OptimizerConfig, ScheduleConfig
from segtrain.devices import computes_bf16, resolve_device, resolve_precision
from segtrain.errors import ConfigError
from segtrain.models.model import build_model, describe_parameters
from segtrain.training.optim import build_optimizer, parameter_groups
from segtrain.training.schedule import build_schedule, try_update
from tests.tiny_model import tiny_model


def optimizer_of(name: str = "SGD", lr: float = 1.0, **settings):
    return build_optimizer(OptimizerConfig(name=name, lr=lr, **settings), tiny_model())


def schedule_of(name: str, *, epochs: int = 2, steps_per_epoch: int = 5, lr: float = 1.0, **settings):
    optimizer = optimizer_of(lr=lr)
    optimizer.step()  # as in a training: the schedule steps after the optimizer
    config = ScheduleConfig(name=name, **settings)
    return build_schedule(config, optimizer, epochs=epochs, steps_per_epoch=steps_per_epoch), optimizer


def message(build) -> str:
    with pytest.raises(ConfigError) as error:
        build()
    return str(error.value)


def test_parameter_groups():
    model = tiny_model()
    config = OptimizerConfig(lr=0.1, weight_decay=0.01, encoder_lr_factor=0.5)
    groups = {(group["part"], group["weight_decay"]): group for group in parameter_groups(model, config)}
    convolution, norm, _ = model.net.encoder
    head = model.net.head
    expected = {
        ("encoder", 0.01): (0.05, [convolution.weight]),
        ("encoder", 0.0): (0.05, [convolution.bias, norm.weight, norm.bias]),
        ("decoder", 0.01): (0.1, [head.weight]),
        ("decoder", 0.0): (0.1, [head.bias]),
    }
    assert groups.keys() == expected.keys()
    for key, (lr, parameters) in expected.items():
        assert groups[key]["lr"] == lr
        assert list(map(id, groups[key]["params"])) == list(map(id, parameters))


@pytest.mark.parametrize(
    ("encoder", "layers", "stem", "last"),
    [
        ("resnet18", 9, "conv1.weight", "layer4.1.bn2.bias"),
        ("mit_b0", 12, "patch_embed1.proj.weight", "block4.1.mlp.fc2.weight"),
        ("densenet121", 8, "features.norm0.weight", "features.denseblock4.denselayer16.conv2.weight"),
        ("tu-test_convnext", 10, "model.stem_0.weight", "model.stages_3.blocks.1.mlp.fc2.weight"),
        ("tu-hiera_tiny_224", 13, "model.model.pos_embed", "model.model.blocks.11.mlp.fc2.weight"),
    ],
)
def test_the_rate_falls_from_layer_to_layer(encoder, layers, stem, last):
    config = ModelConfig(name="FPN", encoder_name=encoder)
    model = build_model(config, channels=3, outputs=2)
    settings = OptimizerConfig(lr=1.0, layer_decay=0.5, encoder_lr_factor=0.1)
    rates = {}
    for group in parameter_groups(model, settings, encoder):
        rates |= {id(parameter): group["lr"] for parameter in group["params"]}
    encoder = dict(model.encoder.named_parameters())
    assert rates[id(encoder[stem])] == pytest.approx(0.1 * 0.5**layers)
    assert rates[id(encoder[last])] == pytest.approx(0.1 * 0.5)
    assert len({rates[id(parameter)] for parameter in encoder.values()}) == layers
    assert {rates[id(parameter)] for parameter in model.net.decoder.parameters()} == {1.0}


def test_what_is_frozen_is_in_no_group():
    groups = parameter_groups(tiny_model(freeze="encoder"), OptimizerConfig())
    assert [group["part"] for group in groups] == ["decoder", "decoder"]
    groups = parameter_groups(tiny_model(freeze="encoder_batchnorm"), OptimizerConfig())
    assert [len(group["params"]) for group in groups] == [1, 1, 1, 1]  # of the norm's two, none


def test_parameters_in_words():
    # 3 * 3 * 3 * 4 + 4 of the convolution, 8 of the norm, 4 * 2 + 2 of the head
    model = tiny_model(freeze="encoder")
    assert sum(p.numel() for p in model.parameters()) == 130
    assert describe_parameters(tiny_model()) == "130 parameters"
    assert describe_parameters(model) == "130 parameters, 10 of them trained"
    assert describe_parameters(nn.Linear(500, 2500)) == "1.3 M parameters"  # 1,252,500


@pytest.mark.parametrize("key", ["encoder_lr_factor", "layer_decay"])
def test_a_setting_for_an_encoder_that_is_not_there(key):
    model = tiny_model()
    model.net.encoder = None
    with pytest.raises(ConfigError) as error:
        parameter_groups(model, OptimizerConfig(**{key: 0.5}))
    assert str(error.value) == f"optimizer.{key}: TinyNet has no encoder; write 1"


def test_the_arguments_of_an_optimizer():
    optimizer = optimizer_of("AdamW", lr=1e-3, betas=[0.8, 0.9])
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}
    assert type(optimizer_of("Lamb")).__module__ == "timm.optim.lamb"
    assert message(lambda: optimizer_of("SGD", momentum=-1)) == "optimizer: SGD: Invalid momentum value: -1"
    assert message(lambda: optimizer_of("AdamW", betas=0.9)).startswith("optimizer: AdamW: ")
    assert message(lambda: optimizer_of("LBFGS")).startswith("optimizer: LBFGS evaluates the loss several times")
    assert message(lambda: optimizer_of("SparseAdam")).startswith("optimizer: SparseAdam needs sparse gradients")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_every_optimizer_trains_or_is_refused_in_one_line():
    refused = set()
    for name in known_names("optimizer"):
        model = tiny_model()
        config = OptimizerConfig(name=name, lr=0.01)
        try:
            optimizer = build_optimizer(config, model)
        except ConfigError as error:
            assert str(error).startswith(f"optimizer: {name}") and "\n" not in str(error)
            refused.add(name)
            continue
        before = [parameter.clone() for parameter in model.parameters()]
        for _ in range(2):
            loss = model(torch.rand(2, 3, 32, 32) * 255).square().mean()
            loss.backward()
            optimizer.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), name
    assert {name for name in refused if hasattr(torch.optim, name)} <= {"LBFGS", "SparseAdam", "Muon"}
    assert {"LBFGS", "SparseAdam", "Adahessian", "Lookahead"} <= refused


@pytest.mark.parametrize(("total", "pct_start"), [(5, 0.2), (10, 0.1), (2, 0.5)])
def test_one_cycle_that_rises_for_one_step_or_less_falls_from_its_peak(total, pct_start):
    schedule, optimizer = schedule_of("OneCycleLR", pct_start=pct_start, epochs=1, steps_per_epoch=total)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.after("step")
    assert rates[0] == pytest.approx(1.0, rel=1e-3)
    assert rates == sorted(rates, reverse=True)


def test_one_cycle_step_by_step():
    schedule, optimizer = schedule_of("OneCycleLR", pct_start=0.3, epochs=2, steps_per_epoch=5)
    seen = []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        schedule.after("step")
        schedule.after("epoch")  # counts steps, not epochs: does nothing
        if len(seen) == 9:
            break
    # Ten steps: from 1/25 in 0.3 * 10 - 1 = 2 steps to 1 along half a cosine, then in seven steps to 4e-6.
    expected = [0.04, 0.52, 1.0, 0.95048, 0.81175, 0.61126, 0.38874, 0.18826, 0.04952]
    assert seen == pytest.approx(expected, abs=1e-5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(4e-6)


def test_one_cycle_keeps_the_factor_of_the_encoder():
    optimizer = optimizer_of(lr=1.0, encoder_lr_factor=0.1)
    optimizer.step()
    schedule = build_schedule(ScheduleConfig(), optimizer, epochs=1, steps_per_epoch=11)
    assert {(g["part"], round(g["lr"], 6)) for g in optimizer.param_groups} == {("encoder", 0.004), ("decoder", 0.04)}
    for _ in range(10):
        schedule.after("step")
        rates = {group["part"]: group["lr"] for group in optimizer.param_groups}
        assert rates["encoder"] == pytest.approx(0.1 * rates["decoder"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # T_max is the ten steps: (1 + cos(pi t / 10)) / 2
        ({"name": "CosineAnnealingLR"}, [1.0, 0.97553, 0.90451, 0.79389, 0.65451, 0.5]),
        # two epochs: a cosine over two
        ({"name": "CosineAnnealingLR", "interval": "epoch"}, [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]),
        # total_iters is the ten steps: 1 - t / 10
        ({"name": "PolynomialLR"}, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]),
        # what is written is taken
        ({"name": "PolynomialLR", "total_iters": 5}, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]),
        ({"name": "StepLR", "step_size": 1, "interval": "epoch"}, [1.0, 1.0, 1.0, 1.0, 1.0, 0.1]),
        ({"name": "MultiStepLR", "milestones": [2, 4]}, [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_a_schedule_counts(settings, expected):
    schedule, optimizer = schedule_of(**settings)
    seen = []
    for _ in range(5):
        seen.append(optimizer.param_groups[0]["lr"])
        schedule.after("step")
    schedule.after("epoch")
    assert [*seen, optimizer.param_groups[0]["lr"]] == pytest.approx(expected, abs=1e-5)


WARMUPS = [
    # a rise in thirds, then (1 + cos(pi t / 8)) / 2 over the eight values that are left of ten
    ({"name": "CosineAnnealingLR", "warmup": 3}, [1 / 3, 2 / 3, 1.0, 0.96194, 0.85355, 0.69134]),
    ({"name": "CosineAnnealingLR", "warmup": 0.3}, [1 / 3, 2 / 3, 1.0, 0.96194, 0.85355, 0.69134]),
    # the scheduler of epochs has done its step when the rise is over
    ({"name": "StepLR", "step_size": 1, "interval": "epoch", "warmup": 8}, [1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 0.075]),
    ({"name": "MultiStepLR", "milestones": [2], "warmup": 2}, [0.5, 1.0, 1.0, 0.1, 0.1, 0.1]),
    ({"name": "PolynomialLR", "warmup": 1}, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]),
]


@pytest.mark.parametrize(("settings", "expected"), WARMUPS, ids=str)
def test_a_warmup_in_front_of_a_schedule(settings, expected):
    test_what_a_schedule_counts(settings, expected)


def test_a_warmup_rises_to_where_one_cycle_begins():
    schedule, optimizer = schedule_of("OneCycleLR", warmup=4, pct_start=0.5)
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.after("step")
    assert rates[:4] == pytest.approx([0.01, 0.02, 0.03, 0.04]) and rates[4] > 0.04
    assert schedule.scheduler.total_steps == 7


def test_a_warmup_that_is_resumed_goes_on_as_if_nothing_had_been():
    settings = {"name": "CosineAnnealingLR", "warmup": 4}
    whole, optimizer = schedule_of(**settings)
    rates = []
    for step in range(8):
        if step == 2:
            saved, group = whole.state_dict(), dict(optimizer.param_groups[0])
            again, resumed = schedule_of(**settings)
            for each in resumed.param_groups:
                each["lr"] = group["lr"]
            again.load_state_dict(saved)
        rates.append([optimizer.param_groups[0]["lr"], resumed.param_groups[0]["lr"] if step > 1 else None])
        whole.after("step")
        if step > 1:
            again.after("step")
    assert all(first == second for first, second in rates[2:])


@pytest.mark.parametrize(
    ("warmup", "text"),
    [
        (10, "10 steps, but the training has 10; write fewer, or a share"),
        (2.5, "2.5 is neither a share below 1 nor an integer number of steps"),
    ],
)
def test_a_warmup_is_a_number_of_steps_that_leaves_some(warmup, text):
    assert message(lambda: schedule_of("CosineAnnealingLR", warmup=warmup)) == f"schedule.warmup: {text}"


def test_check_takes_the_first_step_behind_a_warmup():
    model = tiny_model()
    config = ScheduleConfig(name="StepLR", step_size=0, warmup=3)
    optimizer = build_optimizer(OptimizerConfig(), model)
    schedule = build_schedule(config, optimizer, epochs=1, steps_per_epoch=9)
    experiment = SimpleNamespace(optimizer=OptimizerConfig(), schedule=config)
    assert message(lambda: try_update(experiment, model, optimizer, schedule)).startswith(
        "schedule: StepLR: integer modulo"
    )


def test_the_schedule_ends_with_the_steps():
    optimizer = optimizer_of()
    schedule = build_schedule(ScheduleConfig(), optimizer, epochs=4, steps_per_epoch=10, max_steps=25)
    assert schedule.scheduler.total_steps == 25
    config = ScheduleConfig(name="CosineAnnealingLR", interval="epoch")
    assert build_schedule(config, optimizer, epochs=4, steps_per_epoch=10, max_steps=25).scheduler.T_max == 3


def test_reduce_on_plateau_follows_a_loss_that_should_fall():
    optimizer = optimizer_of()
    config = ScheduleConfig(name="ReduceLROnPlateau", patience=0, factor=0.5)
    schedule = build_schedule(config, optimizer, epochs=9, steps_per_epoch=1, lowest=True)
    for loss in (0.3, 0.2, 0.2):
        schedule.after("evaluation", loss)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_reduce_on_plateau_follows_a_score_that_should_rise():
    schedule, optimizer = schedule_of("ReduceLROnPlateau", patience=0, factor=0.5)
    rates = []
    for score in (0.3, 0.4, 0.4, 0.5, 0.1):
        schedule.after("step")
        schedule.after("epoch")
        schedule.after("evaluation", score)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_no_schedule_keeps_the_rate():
    optimizer = optimizer_of()
    schedule = build_schedule(None, optimizer, epochs=1, steps_per_epoch=1)
    schedule.after("step")
    schedule.after("epoch")
    schedule.after("evaluation", 0.5)
    schedule.load_state_dict(schedule.state_dict())
    assert {group["lr"] for group in optimizer.param_groups} == {1.0}


def test_a_schedule_is_saved_and_taken_up():
    schedule, _ = schedule_of("OneCycleLR")
    for _ in range(4):
        schedule.after("step")
    other, optimizer = schedule_of("OneCycleLR")
    other.load_state_dict(schedule.state_dict())
    other.after("step")
    schedule.after("step")
    assert other.scheduler.get_last_lr() == schedule.scheduler.get_last_lr()
    assert optimizer.param_groups[0]["lr"] == other.scheduler.get_last_lr()[0]


def test_every_scheduler_is_built_or_refused_in_one_line():
    needs = {"step_size": 3, "gamma": 0.5, "milestones": [1], "T_0": 2, "base_lr": 0.1, "swa_lr": 0.1}
    built = set()
    for name in known_names("schedule"):
        given = {key: value for key, value in needs.items() if accepted("schedule", name).get(key)}
        try:
            schedule, _ = schedule_of(name, **given)
        except ConfigError as error:
            assert str(error).startswith(f"schedule: {name}: ") and "\n" not in str(error)
            continue
        schedule.after("step")
        schedule.after("evaluation", 0.5)
        built.add(name)
    # What wants a function or other schedulers cannot be written in YAML.
    assert set(known_names("schedule")) - built == {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"}


def test_wrong_values_of_a_schedule():
    expected = "schedule: OneCycleLR: Expected float between 0 and 1 pct_start, but got 2"
    assert message(lambda: schedule_of("OneCycleLR", pct_start=2)) == expected
    assert message(lambda: schedule_of("StepLR")).startswith("schedule: StepLR: ")


def test_the_device():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    assert message(lambda: resolve_device("gpu")).startswith("device 'gpu' cannot be used: Expected one of cpu")
    for absent in ("cuda:99", "meta"):
        assert message(functools.partial(resolve_device, absent)).startswith(f"device '{absent}' cannot be used: ")


def test_the_precision():
    cpu = torch.device("cpu")
    expected = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert {name: resolve_precision(name, cpu) for name in expected} == expected
    assert resolve_precision("auto", cpu) == (torch.bfloat16 if computes_bf16() else torch.float32)
    assert resolve_precision("auto", torch.device("mps")) == torch.float32
