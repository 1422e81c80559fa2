"""experiments/sweep.yml: its trials, as W&B's own agent starts them, are trainings that segtrain takes."""

import os
import random
import re
from pathlib import Path

import pytest
import yaml
from wandb import wandb_agent

from segtrain.config.rules import load_config
from tests.conftest import PROJECT

FILE = PROJECT / "experiments" / "sweep.yml"
SWEEP = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def command_of(values: dict, command: list, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of a trial: what wandb's agent would start, with the macros of `command` replaced by it."""
    started = []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    monkeypatch.setenv("WANDB_DIR", str(folder))
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "abc123")  # the agent sets them, and the end of the test unsets them
    agent = wandb_agent.Agent(api=None, queue=None, sweep_id="abc123")
    agent._sweep_command = list(command)
    arguments = {name: {"value": value} for name, value in values.items()}
    agent._command_run({"run_id": "run1", "program": SWEEP["program"], "args": arguments})
    assert Path(os.environ["WANDB_SWEEP_PARAM_PATH"]).is_file()
    return started[0]


def layers_of(command: list[str]) -> list[str]:
    """What stands behind train.py."""
    return command[command.index("train.py") + 1 :]


def draw(parameter: dict) -> object:
    """A value of a parameter, like those that the service sends."""
    if "value" in parameter:
        return parameter["value"]
    if "values" in parameter:
        return random.choice(parameter["values"])
    return random.uniform(parameter["min"], parameter["max"])


def test_its_metric_is_what_chooses_the_best_checkpoint() -> None:
    monitor = load_config([str(PROJECT / "config.yml")]).train.monitor
    assert SWEEP["metric"] == {"name": f"val/{monitor}", "goal": "maximize"}


def test_every_trial_is_a_training(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    random.seed(0)
    for _ in range(8):
        values = {name: draw(parameter) for name, parameter in SWEEP["parameters"].items()}
        command = command_of(values, SWEEP["command"], tmp_path, monkeypatch)
        assert command[:3] == ["/usr/bin/env", "python", "train.py"]
        plain = load_config(layers_of(command)).model_dump()
        for name, value in values.items():
            section, key = name.split(".")
            assert plain[section][key] == value and type(plain[section][key]) in (type(value), float), name


def test_the_commented_command_starts_torchrun(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    (line,) = re.findall(r"^# (command: .*)$", FILE.read_text(encoding="utf-8"), re.MULTILINE)
    command = command_of({"optimizer.lr": 0.001}, yaml.safe_load(line)["command"], tmp_path, monkeypatch)
    assert command == ["torchrun", "--standalone", "--nproc-per-node", "4", "train.py", "optimizer.lr=0.001"]


def test_values_of_every_kind(tmp_path, monkeypatch):
    """Python writes them: True, None, 1e-05, ['a', None], {'lr': 1e-05}."""
    monkeypatch.chdir(PROJECT)
    values = {
        "name": "first try".replace(" ", "_"),
        "train.compile": False,
        "train.eval_train": True,
        "train.clip_norm": None,
        "train.patience": 3,
        "optimizer": {"name": "SGD", "lr": 1e-05, "momentum": 0.9, "nesterov": True},
        "schedule": None,
        "model.decoder_channels": [64, 32, 16, 16, 8],
        "loss": {"DiceLoss": {"coef": 0.5}, "CrossEntropyLoss": 1.0},
        "transforms.train": ["HorizontalFlip", {"RandomCrop": {"height": 64, "width": 64, "fill_mask": None}}],
        "log.wandb.tags": ["it's", "a: b", "x # y"],
    }
    config = load_config(layers_of(command_of(values, SWEEP["command"], tmp_path, monkeypatch)))
    assert (config.name, config.train.compile, config.train.eval_train) == ("first_try", False, True)
    assert (config.train.clip_norm, config.train.patience, config.schedule) == (None, 3, None)
    optimizer = config.optimizer.model_dump()
    assert {key: optimizer[key] for key in values["optimizer"]} == values["optimizer"]
    assert config.model.model_dump()["decoder_channels"] == values["model.decoder_channels"]
    assert {name: term.coef for name, term in config.loss.items()} == {"DiceLoss": 0.5, "CrossEntropyLoss": 1.0}
    assert config.transforms.train == values["transforms.train"]
    assert config.log.wandb.tags == values["log.wandb.tags"]
