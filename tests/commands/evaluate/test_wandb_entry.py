"""evaluate --wandb, read back from the files that `wandb sync` would upload."""

import os
import shutil

import pytest
import wandb

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from tests.commands.evaluate.evaluating import NAMES, evaluate, numbers_in, refused
from tests.log.wandb_records import find_runs, read_history, read_items, read_records


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path_factory, monkeypatch):
    """No key, no settings and no cache of the person who runs the tests."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("WANDB_DATA_DIR")


@pytest.fixture
def entered(kept):
    """The run as if it had been trained with an entry in wandb."""
    content = load_checkpoint(kept / "last.pt")
    content["config"]["log"]["wandb"] |= {"mode": "offline", "project": "streets"}
    save_checkpoint(kept / "last.pt", content | {"wandb_id": "abc123", "wandb_step": 40})
    return kept


def test_numbers_tables_and_pictures(entered, capsys):
    assert evaluate(entered, "--wandb") == 0
    wandb.teardown()  # as at the end of a process; only then is the last block of the file written
    assert "wandb: offline; upload with: wandb sync " in capsys.readouterr().out
    (run,) = find_runs(entered)
    (started,) = [record.run for record in read_records(run) if record.WhichOneof("record_type") == "run"]
    assert (started.run_id, started.project) == ("abc123", "streets")
    (row,) = read_history(run)
    assert row["step"] == 41
    numbers = numbers_in(entered / "evaluation-val-1")
    assert len(numbers) > 40
    assert {key: row[f"evaluate/val/{key}"] for key in numbers} == numbers
    for name, rows in (("classes", len(NAMES)), ("images", 4)):
        table = row[f"evaluate/val/tables/{name}"]
        assert (table["_type"], table["nrows"]) == ("table-file", rows)
    for name in ("confusion", "calibration"):
        assert row[f"evaluate/val/{name}"]["_type"] == "image-file"
    assert row["evaluate/val/worst"]["count"] == 4
    items = [record.summary.update for record in read_records(run) if record.WhichOneof("record_type") == "summary"]
    summary = read_items([item for update in items for item in update])
    assert summary["evaluate/val/miou"] == numbers["miou"]


def test_a_run_without_an_entry(kept, capsys, monkeypatch):
    assert refused(capsys, kept, "--wandb") == (
        f"--wandb: {kept} was trained without Weights & Biases; there is no entry to log to"
    )
    (kept / "last.pt").unlink()
    assert refused(capsys, kept / "best.pt", "--wandb") == (
        f"{kept}: has no last.pt; the run stopped before it was first saved"
    )


def test_wandb_that_is_switched_off(entered, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert refused(capsys, entered, "--wandb") == (
        "--wandb: WANDB_MODE is disabled; unset it, or set it to online or offline"
    )


def test_a_failure_costs_a_line(entered, capsys):
    shutil.rmtree(entered / "wandb", ignore_errors=True)
    (entered / "wandb").write_text("in the way")
    assert evaluate(entered, "--wandb") == 0
    assert "warning: nothing was logged to Weights & Biases: " in capsys.readouterr().out
    assert (entered / "evaluation-val-1" / "evaluation.csv").exists()
