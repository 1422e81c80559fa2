"""The search as a command: what its trainings do to it, and what is left on the disk. The trainings are drawn curves,
but for the last test."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from filelock import FileLock

from segtrain.__main__ import main
from segtrain.command import Stopped
from segtrain.commands.tune import trial
from segtrain.commands.tune.search import search
from segtrain.config.layers import BASE_FILE
from segtrain.config.rules import load_config
from segtrain.errors import ConfigError, DataError, TrainingError
from tests.conftest import PROJECT, SMALL, draw_folders, run

# In the place of Python: it is called as `-m segtrain train --run-folder FOLDER layers ..`, and gives a curve that the
# learning rate decides. `slow` files make it wait.
TRAINING = f"""#!{sys.executable}
import signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(PROJECT)!r})
from segtrain.config.rules import load_config
from segtrain.config.tree import dump_yaml

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
folder, layers = Path(sys.argv[5]), sys.argv[6:]
config = load_config(layers)
rate = config.optimizer.lr
if rate > 0.5:
    sys.exit("CrossEntropyLoss is nan")
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yml").write_text(dump_yaml(config.model_dump(mode="json")))
lines = ["epoch,val/miou,train_seconds"]
for epoch in range(1, config.train.epochs + 1):
    lines.append(f"{{epoch}},{{min(rate * 10, 1) * epoch / config.train.epochs}},2.0")
    (folder / "new").write_text("\\n".join(lines))
    (folder / "new").replace(folder / "metrics.csv")
    while Path("slow").exists() and not (folder / "begun").exists():
        time.sleep(0.01)
(folder / "begun").touch()
(folder / "best.pt").touch()
(folder / "last.pt").touch()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An experiment x.yml of five epochs in the working folder; its first trial has a learning rate of 0.02."""
    script = tmp_path / "python"
    script.write_text(TRAINING)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(trial, "_POLL_SECONDS", 0.02)
    monkeypatch.chdir(tmp_path)
    (tmp_path / BASE_FILE).write_text(
        "name: it\ndata: {root: x, classes: [a, b]}\ntransforms: {train: [{HorizontalFlip: {p: 0.5}}]}\n"
    )
    (tmp_path / "x.yml").write_text(
        "train: {epochs: 5}\noptimizer: {lr: 0.02}\nloss: {DiceLoss: 1, CrossEntropyLoss: 1}\n"
        "tune:\n  trials: 3\n  ranges:\n    optimizer.lr: {low: 0.01, high: 0.1}\n"
        "    loss.DiceLoss: {low: 0, high: 2}\n    transforms.train.0.HorizontalFlip.p: [0.5, 0.9]\n"
    )
    return tmp_path / "runs" / "it-tune"


def search_for(folder: Path, *layers: str) -> pandas.DataFrame:
    search(load_config(["x.yml", *layers]), ["x.yml", *layers], folder)
    return pandas.read_csv(folder / "trials.csv")


def test_what_is_left_is_a_table_the_best_values_and_the_best_weights(folder, capsys):
    table = search_for(folder)
    assert table["trial"].tolist() == [0, 1, 2] and (table["state"] == "complete").all()
    assert table["miou"].tolist() == pytest.approx((10 * table["optimizer.lr"]).tolist(), rel=1e-4)
    assert table["as_written"].tolist() == [True, False, False] and (table["seconds"] == 10).all()
    best = int(table["miou"].idxmax())
    assert [path.parent.name for path in folder.glob("*/best.pt")] == [f"it-trial-{best}"]
    out = capsys.readouterr().out
    assert "runs/it-tune: 0 of 3 trials are complete; 3 keys, by the highest miou" in out
    assert f"best     trial {best}: miou {table['miou'][best]:.4f}; the experiment as written (trial 0) 0.2000" in out
    assert "train    python train.py x.yml runs/it-tune/best.yml" in out.replace(str(folder.parent.parent) + "/", "")
    assert {"history.png", "importance.png", "study.db"} <= set(os.listdir(folder))


def test_best_yml_is_the_experiment_of_the_best_trial(folder):
    table = search_for(folder)
    trained = load_config([], resume=str(folder / f"it-trial-{table['miou'].idxmax()}"))
    merged = load_config(["x.yml", str(folder / "best.yml")])
    assert merged.model_dump(exclude={"log"}) == trained.model_dump(exclude={"log"})
    assert merged.model_dump(exclude={"log"}) != load_config(["x.yml"]).model_dump(exclude={"log"})
    assert trained.log.wandb.group == "it-tune"


def test_the_same_command_goes_on(folder, capsys):
    first = search_for(folder)
    assert search_for(folder).equals(first)
    assert "3 of 3 trials are complete" in capsys.readouterr().out
    more = search_for(folder, "tune.trials=4")
    assert len(more) == 4 and more[:3].equals(first)


def test_a_trial_that_fails_does_not_end_the_search(folder, capsys):
    table = search_for(folder, "tune.ranges={optimizer.lr: [0.02, 0.9, 0.03]}", "tune.trials=4")
    failed = table[table["optimizer.lr"] == 0.9]
    assert len(failed) and (failed["state"] == "failed").all() and failed["miou"].isna().all()
    assert (failed["failure"] == "CrossEntropyLoss is nan").all()
    assert "failed: CrossEntropyLoss is nan  optimizer.lr=0.9" in capsys.readouterr().out
    assert (table[table["optimizer.lr"] != 0.9]["state"] == "complete").all()


def test_a_search_in_which_everything_fails_ends_early(folder):
    with pytest.raises(TrainingError, match=r"the first 3 trials failed; see .*trial-\*\.log"):
        search_for(folder, "tune.ranges={optimizer.lr: [0.8, 0.9]}", "tune.trials=9", "optimizer.lr=0.9")
    assert len(pandas.read_csv(folder / "trials.csv")) == 3


def test_a_signal_stops_it_and_the_trial_goes_on_later(folder):
    Path("slow").touch()
    pid = os.getpid()
    kill = subprocess.Popen(
        ["bash", "-c", f"until [ -e {folder}/it-trial-0/metrics.csv ]; do sleep 0.05; done; kill -TERM {pid}"]
    )
    with pytest.raises(Stopped, match="stopped in trial 0, which is saved; repeat the command to continue") as stopped:
        search_for(folder)
    kill.wait()
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    Path("slow").unlink()
    assert search_for(folder)["state"].tolist() == ["complete"] * 3
    assert sorted(path.name for path in folder.glob("it-trial-*")) == ["it-trial-0", "it-trial-1", "it-trial-2"]


def test_a_training_that_a_killed_search_has_left_is_awaited(folder):
    left = folder / "it-trial-0"
    left.mkdir(parents=True)
    (left / BASE_FILE).write_text(Path(BASE_FILE).read_text())
    held = FileLock(left / ".lock")
    held.acquire()
    begun = time.monotonic()
    seen = []

    def goes_on() -> bool:
        seen.append(time.monotonic())
        if len(seen) == 5:
            held.release()
        return True

    assert trial.run_training(["x.yml"], left, folder / "log", goes_on=goes_on) == 0
    assert len(seen) >= 5 and time.monotonic() - begun > 4 * trial._POLL_SECONDS


def test_a_second_search_in_the_folder_is_refused(folder):
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"), pytest.raises(ConfigError, match="another search is running in it; wait until it"):
        search_for(folder)


@pytest.mark.parametrize("output", ["/proc/none", "x.yml/a", "a" * 300])
def test_a_folder_that_cannot_be_made_is_one_line(output, folder):
    with pytest.raises(DataError, match="cannot be written"):
        search_for(Path(output))


def test_an_experiment_without_ranges_is_one_line(tmp_path):
    done = run("-m segtrain", "tune", "data.root=x", cwd=PROJECT)
    assert done.returncode == 2
    assert done.stderr.startswith("tune: is missing; write the ranges to search") and done.stderr.count("\n") == 1


def test_a_search_of_one_training(tmp_path):
    """Of an experiment that trains."""
    data = f"data.root={draw_folders(tmp_path / 'street')}"
    layers = [*SMALL, "train.epochs=1", "train.device=cpu", data, f"runs_dir={tmp_path / 'runs'}"]
    ranges = "tune={trials: 1, ranges: {optimizer.lr: {low: 1e-4, high: 1e-2, log: true}}}"
    done = run("-m segtrain", "tune", *layers, ranges)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "runs" / "street-tune"
    score = pandas.read_csv(folder / "street-trial-0" / "metrics.csv")["val/miou"].max()
    assert pandas.read_csv(folder / "trials.csv")["miou"].tolist() == [score]
    assert "best     trial 0: miou" in done.stdout
    assert load_config([*layers, str(folder / "best.yml")]).optimizer.lr == 0.003


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", "tune={ranges: {optimizer.lr: [1e-3, 1e-2]}}"]) == 2
    assert capsys.readouterr().err == 'tune needs optuna; in the segtrain folder, run: pip install -e ".[tune]"\n'
