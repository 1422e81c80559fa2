"""How a run of Weights & Biases begins: environment variables, without a key or a network, several in a program."""

import os
import pty
import threading
import time
from types import SimpleNamespace

import pytest
import wandb

from tests.log.test_wandb_writer import build_log, nobody_is_logged_in, read_run, start_python  # noqa: F401
from tests.log.wandb_records import find_runs, read_history


def test_online_without_a_key_goes_offline_and_never_asks(tmp_path):
    """On a terminal, where wandb by itself would wait for an answer."""
    text = """
import sys
from pathlib import Path
from tests.log.test_wandb_writer import build_log
build_log(Path(sys.argv[1]), mode="online").finish()
"""
    outer, inner = pty.openpty()
    process = start_python(text, tmp_path, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    assert process.wait(timeout=30) == 0
    lines = os.read(outer, 10000).decode().splitlines()
    os.close(outer)
    (run,) = find_runs(tmp_path)
    assert lines == [f"wandb: offline (no API key; `wandb login` sets one); upload with: wandb sync {run}"]


def test_online_without_a_network_goes_offline_in_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("segtrain.log.wandb_writer.INIT_TIMEOUT_SECONDS", 1.0)
    wandb.teardown()  # its service would keep the environment of an earlier test
    started = time.monotonic()
    log = build_log(tmp_path, mode="online", wandb_id="resumed1")
    assert log.wandb_id == "resumed1"
    log.step(1, {"lr": 0.1})
    log.finish()
    wandb.teardown()
    assert time.monotonic() - started < 15
    (run,) = find_runs(tmp_path)
    assert read_history(run) == [{"step": 1, "lr": 0.1}]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("wandb: offline (") and line.endswith(f"); upload with: wandb sync {run}")


SET = {
    "WANDB_PROJECT": "from-env",
    "WANDB_ENTITY": "team",
    "WANDB_NAME": "my-name",
    "WANDB_TAGS": "x,y",
    "WANDB_NOTES": "why",
    "WANDB_RUN_GROUP": "folds",
    "WANDB_JOB_TYPE": "ablation",
    "WANDB_CONSOLE": "off",
}


@pytest.fixture
def in_environment(tmp_path, monkeypatch):
    """A run of the given settings in the given environment, decoded."""

    def in_environment(environment: dict[str, str], **wandb_section: object) -> SimpleNamespace:
        wandb.teardown()  # its service would keep the environment of an earlier test
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        log = build_log(tmp_path, **wandb_section)
        log.finish()
        wandb.teardown()
        (run,) = [*tmp_path.glob("**/offline-run-*")]
        return read_run(run)

    return in_environment


def test_what_the_yaml_leaves_out_the_environment_decides(in_environment, tmp_path):
    made = in_environment({**SET, "WANDB_DIR": str(tmp_path / "elsewhere")}, project=None)
    run = made.records["run"][0]
    assert (run.project, run.entity, run.display_name) == ("from-env", "team", "my-name")
    assert (list(run.tags), run.notes, run.run_group, run.job_type) == (["x", "y"], "why", "folds", "ablation")
    assert made.run.parent == tmp_path / "elsewhere" / "wandb"
    assert "output_raw" not in made.records  # WANDB_CONSOLE


def test_what_the_yaml_says_wins(in_environment):
    section = {"project": "streets", "entity": "lab", "tags": ["a"], "notes": "mine", "group": "own"}
    run = in_environment(SET, **section).records["run"][0]
    assert (run.project, run.entity, run.notes, run.run_group) == ("streets", "lab", "mine", "own")
    assert list(run.tags) == ["a"]


def test_without_either_the_project_is_segtrain(in_environment):
    run = in_environment({}, project=None).records["run"][0]
    assert (run.project, run.entity, run.display_name, run.job_type) == ("segtrain", "", "toy-1", "train")


def test_a_variable_that_means_nothing_costs_one_line(tmp_path, monkeypatch, capsys):
    wandb.teardown()
    monkeypatch.setenv("WANDB_CONSOLE", "loud")
    build_log(tmp_path).finish()
    monkeypatch.delenv("WANDB_CONSOLE")
    wandb.teardown()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: wandb is disabled for the rest of this run: console: Input should be")


def test_trainings_of_threads_are_runs_of_their_own(tmp_path):
    def train(name: str) -> None:
        (tmp_path / name).mkdir()
        log = build_log(tmp_path / name)
        for step in (1, 2):
            log.step(step, {f"train/{name}": 1.0})
        log.finish()

    threads = [threading.Thread(target=train, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    train("c")
    wandb.teardown()
    for name in ("a", "b", "c"):
        (run,) = find_runs(tmp_path / name)
        assert read_history(run) == [{"step": step, f"train/{name}": 1.0} for step in (1, 2)]


def test_a_run_that_the_program_has_begun_is_used_and_left_open(tmp_path):
    """The function of a sweep begins one, to read its parameters."""
    wandb.teardown()
    with wandb.init(mode="offline", project="mine", dir=tmp_path, settings=wandb.Settings(silent=True)) as run:
        run.log({"before": 1})
        log = build_log(tmp_path)
        assert log.wandb_id == run.id
        log.step(1, {"lr": 0.1})
        log.finish({"best/score": 0.5})
        run.log({"after": 1})
    wandb.teardown()
    made = read_run(*find_runs(tmp_path))
    assert made.history == [{"step": 0, "before": 1}, {"step": 1, "lr": 0.1}, {"step": 2, "after": 1}]
    assert made.config["train"]["monitor"] == "miou"
