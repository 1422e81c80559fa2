import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from segtrain.checkpoint import lock_run
from segtrain.commands.batch.child import find_gpus


def console(name: str) -> str:
    return Path(f"runs/.console/{name}.txt").read_text()


def test_all_runs_are_trained_and_the_finished_ones_skipped(batch, capsys) -> None:
    assert batch("one.yml", "two.yml", "--seeds", "0,2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 runs of 2 experiments, 1 at a time"
    shown = [line for line in lines if line.startswith(("one-seed", "two-seed"))]
    assert shown[0] == "one-seed0: started" and shown[1].startswith("one-seed0: finished in 00:")
    assert [line.split(": ")[0] for line in shown[::2]] == ["one-seed0", "one-seed2", "two-seed0", "two-seed2"]
    assert shown[3].endswith(", miou 0.2000")
    assert console("one-seed0") == "one-seed0 None None 1\n"

    assert batch("one.yml", "two.yml", "--seeds", "0,1,2") == 0
    out = capsys.readouterr().out
    assert "one-seed2: was already finished, miou 0.2000" in out and "one-seed1: started" in out
    assert console("one-seed0") == "one-seed0 None None 1\n"  # as before


def test_a_failure_does_not_stop_the_rest(batch, capsys) -> None:
    Path("bad.yml").write_text(
        Path("one.yml").read_text().replace("name: one", "name: bad\nlog: {wandb: {notes: fails}}")
    )
    Path("gone.yml").write_text(Path("one.yml").read_text().replace("one", "gone\nlog: {wandb: {notes: killed}}"))
    assert batch("bad.yml", "gone.yml", "two.yml") == 1
    out, err = capsys.readouterr()
    killed = "killed by SIGKILL, which the system does when it runs out of memory"
    for name, reason in (("bad", "training stopped at step 1: loss is nan"), ("gone", killed)):
        (line,) = [line for line in out.splitlines() if line.startswith(f"{name}: failed: ")]
        assert line.startswith(f"{name}: failed: {reason} (00:") and line.endswith(f"; runs/.console/{name}.txt)")
    assert "two: finished in 00:" in out
    assert err == "2 of 3 runs failed: bad, gone\n"

    assert batch("gone.yml", "two.yml", "log.wandb.notes=better") == 0
    out = capsys.readouterr().out
    assert "gone: resumed after epoch 1\n" in out and "two: was already finished" in out


def test_what_cannot_be_read_later_fails_alone(batch, capsys) -> None:
    assert batch("one.yml", "two.yml") == 0
    Path("runs/one/summary.json").write_text("{")
    assert batch("one.yml", "two.yml") == 2
    assert capsys.readouterr().err.startswith("runs/one/summary.json: cannot be read: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_processes_and_the_command_goes_on(batch, capsys, number) -> None:
    def send() -> None:
        while not Path("runs/one-seed1/metrics.csv").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=send).start()
    assert batch("one.yml", "--seeds", "1,2", "--", "log.wandb.notes=slow") == 128 + number
    out, err = capsys.readouterr()
    assert "stopping: saving the running trainings first; press again to kill them\none-seed1: stopped after 00:" in out
    assert err == "stopped: 0 of 2 runs are finished; repeat the command to continue\n"
    assert console("one-seed1").endswith("stopped and saved\n")
    assert not Path("runs/one-seed2").exists() and signal.getsignal(number) == before

    assert batch("one.yml", "--seeds", "1") == 0
    assert "one-seed1: resumed after epoch 1\n" in capsys.readouterr().out


def test_a_second_signal_kills_them(batch, capsys) -> None:
    def send() -> None:
        while not Path("runs/one/metrics.csv").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    assert batch("one.yml", "log.wandb.notes=stubborn") == 128 + signal.SIGTERM
    assert "to kill them\nkilling the runs\none: stopped after 00:" in capsys.readouterr().out


def test_a_run_that_another_process_trains_is_waited_for(batch, capsys) -> None:
    assert batch("one.yml", "two.yml") == 0
    moved = Path("runs/one/summary.json").rename("runs/summary.json")
    locked = threading.Event()

    def train() -> None:
        with lock_run(Path("runs/one")):
            locked.set()
            time.sleep(0.5)
            moved.rename("runs/one/summary.json")

    threading.Thread(target=train).start()
    assert locked.wait(5)
    assert batch("one.yml", "two.yml") == 0
    lines = capsys.readouterr().out.splitlines()
    waiting = "one: another process is training it; waiting until it ends"
    assert lines.count(waiting) == 1
    assert lines.index(waiting) < lines.index("two: was already finished, miou 0.0000")
    assert "one: finished by another process, miou 0.0000" in lines
    assert "another process" not in console("one")


def test_several_at_a_time_share_gpus_and_cores(batch, capsys, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(9))
    assert batch("one.yml", "--seeds", "0,1,2,3", "--parallel", "4") == 0
    seen = [console(f"one-seed{seed}").split()[1:] for seed in range(4)]
    assert seen == [["0", "2", "1"], ["1", "2", "1"], ["0", "2", "1"], ["1", "2", "1"]]
    assert "one-seed1: started on GPU 1\n" in capsys.readouterr().out
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8a,7")  # of which torch sees two
    assert find_gpus() == ["5", "GPU-8a"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert batch("two.yml", "--parallel", "2") == 0
    assert console("two").split()[1:] == ["5", "3", "1"]


def test_a_finished_run_without_a_score(batch, capsys) -> None:
    assert batch("one.yml") == 0
    Path("runs/one/summary.json").write_text(json.dumps({"epochs": 3}))
    assert batch("one.yml") == 0
    assert "one: was already finished, no miou\n" in capsys.readouterr().out
