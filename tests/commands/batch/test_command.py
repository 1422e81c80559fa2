from pathlib import Path

import pytest

from tests.conftest import PROJECT, SMALL, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "a"], "argument --seeds: expected integers like 0,1,2, not 'a'"),
        (["--seeds", ""], "argument --seeds: expected integers like 0,1,2, not ''"),
        (["--seeds", "1,"], "argument --seeds: expected integers like 0,1,2, not '1,'"),
        (["--folds", "some"], "argument --folds: expected all or folds like 0,1,2, not 'some'"),
        (["--parallel", "0"], "argument --parallel: expected a number of runs of at least 1, not '0'"),
        (["--parallel", "-2"], "argument --parallel: expected a number of runs of at least 1, not '-2'"),
    ],
)
def test_wrong_numbers(batch, capsys, arguments, message) -> None:
    with pytest.raises(SystemExit, match="2"):
        batch("one.yml", *arguments)
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)


def test_a_seed_that_is_none(batch, capsys) -> None:
    assert batch("one.yml", "--seeds=-1") == 2
    assert capsys.readouterr().err.startswith("command line: seed=-1: seed: ")


def test_torchrun_is_not_needed(batch, capsys, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert batch("one.yml") == 2
    assert capsys.readouterr().err.endswith("batch itself starts a process for each run; run it without torchrun\n")


def test_a_real_run(dataset, tmp_path) -> None:
    layers = [*SMALL, "train.epochs=1", "train.device=cpu", f"data.root={dataset}", f"runs_dir={tmp_path / 'my runs'}"]
    done = run("-m segtrain", "batch", PROJECT / "config.yml", "--seeds", 3, "--", *layers)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["1 run of 1 experiment, 1 at a time", "street-seed3: started"]
    score = Path(tmp_path, "my runs/street-seed3/metrics.csv").read_text().splitlines()
    assert len(score) == 2 and any(line.startswith("street-seed3: finished in ") for line in lines)
