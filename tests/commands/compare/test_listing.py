"""python -m segtrain runs."""

import os
import subprocess
import sys
import time

import pytest

from segtrain.__main__ import main
from segtrain.checkpoint import lock_run
from tests.commands.compare.comparing import draw_run
from tests.conftest import PROJECT


def test_runs_with_state_score_and_age(tmp_path, capsys):
    for name, age in (("a-2", 7200), ("a-10", 110)):
        folder = draw_run(tmp_path / name, [0.5, 0.6, 0.55], summary=name == "a-2")
        for path in folder.iterdir():
            os.utime(path, (time.time() - age,) * 2)
    broken = draw_run(tmp_path / "broken", [0.5])
    (broken / "config.yml").write_text("name: [")
    draw_run(tmp_path / "sweep" / "b-1", [0.5])
    (tmp_path / "notes").mkdir()
    (tmp_path / ".cache").mkdir()
    with lock_run(tmp_path / "a-10"):
        assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in (lines[0], *lines[2:4])] == [
        ["run", "state", "score", "metric", "epoch", "age"],
        ["a-10", "running", "0.6000", "miou", "2/3", "2", "min"],
        ["a-2", "finished", "0.6000", "miou", "2/3", "2.0", "h"],
    ]
    assert len(lines) == 7
    assert lines[4].startswith(f"warning: {broken}/config.yml")
    assert lines[5] == f"warning: {tmp_path}/notes: is not a run folder; it has no config.yml"
    assert lines[6] == f"warning: {tmp_path}/sweep: contains runs: python -m segtrain runs {tmp_path}/sweep"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("gone", "gone: cannot be listed: No such file or directory; give a folder that contains runs"),
        ("empty", "empty: contains no runs"),
        ("run", "run: is itself a run; give the folder that contains it"),
    ],
)
def test_a_folder_without_runs(tmp_path, monkeypatch, capsys, folder, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    draw_run(tmp_path / "run", [0.5])
    assert main(["runs", folder]) == 2
    assert capsys.readouterr().err == message + "\n"


def test_torch_is_not_imported(tmp_path):
    draw_run(tmp_path / "a", [0.5])
    program = f"import sys; from segtrain.__main__ import main; main(['runs', {str(tmp_path)!r}])"
    program += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False"
