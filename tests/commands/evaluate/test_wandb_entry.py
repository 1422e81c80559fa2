"""evaluate --wandb, read back from the files that `wandb sync` would upload."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import wandb
from PIL import Image

from segtrain.checkpoint import load_checkpoint, save_checkpoint
from tests.commands.evaluate.evaluating import NAMES, evaluate, numbers_in, read_rows, refused
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
    """The run as if it had been trained with an entry in wandb that has its best.pt."""
    content = load_checkpoint(kept / "best.pt")
    content["config"]["log"]["wandb"] |= {"mode": "offline", "group": "ablation", "artifacts": ["best"]}
    save_checkpoint(kept / "best.pt", content)
    entry = {"id": "abc", "project": "streets", "entity": "lab", "model": "lab/streets/street-1-abc-best:best"}
    (kept / "wandb.json").write_text(json.dumps(entry))
    return kept


def evaluated(folder):
    """The run of an evaluation, its configuration, and its one row."""
    wandb.teardown()  # as at the end of a process; only then is the last block of the file written
    (run,) = find_runs(folder)
    records = [*read_records(run)]
    (started,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    changes = [record.config.update for record in records if record.WhichOneof("record_type") == "config"]
    config = read_items([*started.config.update, *(item for update in changes for item in update)])
    (row,) = read_history(run)
    return run, started, config, row


def test_an_evaluation_is_a_run_of_its_own(entered, capsys):
    assert evaluate(entered, "--wandb", "--flip") == 0
    assert "wandb: offline; upload with: wandb sync " in capsys.readouterr().out
    folder = entered / "evaluation-val-1"
    _, started, config, _ = evaluated(folder)
    assert started.run_id != "abc" and started.display_name == "kept-evaluation-val-1"
    assert (started.job_type, started.run_group) == ("evaluation", "ablation")
    assert (started.project, started.entity) == ("streets", "lab")
    assert (config["models"], config["split"], config["flags"]["flip"]) == ([str(entered)], "val", "horizontal")
    assert config["experiment"]["model"]["name"] == "Unet"
    assert config["used_model"] == "lab/streets/street-1-abc-best:best"
    assert not [*entered.glob("wandb")]


def test_numbers_tables_and_pictures(entered):
    assert evaluate(entered, "--wandb") == 0
    folder = entered / "evaluation-val-1"
    _, _, _, row = evaluated(folder)
    numbers = numbers_in(folder)
    shown = {key: value for key, value in numbers.items() if "/" not in key or key.startswith("iou/")}
    assert len(shown) > 15 and {key: row[f"val/{key}"] for key in shown} == shown
    by_class = {f"val/{key}" for key in shown if "/" in key}
    assert {key for key in row if key.count("/") == 2} == {*by_class, "val/tables/classes", "val/tables/images"}
    for name in ("confusion", "calibration"):
        assert row[f"val/{name}"]["_type"] == "image-file"
    assert row["val/worst"]["count"] == 4
    assert (row["val/tables/classes"]["nrows"], row["val/tables/images"]["nrows"]) == (len(NAMES), 4)


def test_images_are_sorted_by_their_iou_and_can_be_looked_at(entered):
    """images.csv, with the photo and both masks as a column: the classes are named in it."""
    assert evaluate(entered, "--wandb") == 0
    folder = entered / "evaluation-val-1"
    run, *_ = evaluated(folder)
    artifacts = [record.request.log_artifact.artifact for record in read_records(run)]
    artifacts += [record.artifact for record in read_records(run)]
    (entries,) = [
        {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        for artifact in artifacts
        if "val/tables/images.table.json" in [entry.path for entry in artifact.manifest.contents]
    ]
    table = json.loads(entries["val/tables/images.table.json"].read_text())
    assert table["columns"] == ["name", "image", "miou", *(f"iou/{name}" for name in NAMES)]
    rows = read_rows(folder / "images.csv")
    assert [row[0] for row in table["data"]] == [row["name"] for row in rows]
    assert [row[2] for row in table["data"]] == [float(row["miou"]) for row in rows]
    image = table["data"][0][1]
    assert set(image["masks"]) == {"ground_truth", "prediction"}
    classes = json.loads(entries[image["classes"]["path"]].read_text())["class_set"]
    assert {item["id"]: item["name"] for item in classes} == dict(enumerate([*NAMES, "ignored"]))
    mask = np.asarray(Image.open(entries[image["masks"]["ground_truth"]["path"]]))
    assert mask.shape == (64, 80) and (mask[:2] == len(NAMES)).all() and mask[2:].max() < len(NAMES)


def test_a_model_that_was_trained_without_wandb(kept, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert evaluate(kept / "best.pt", "--wandb") == 0
    _, started, config, _ = evaluated(kept / "evaluation-val-1")
    assert (started.project, started.run_group, "used_model" in config) == ("segtrain", "", False)


@pytest.mark.parametrize(("name", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")])
def test_wandb_that_is_switched_off(entered, capsys, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert refused(capsys, entered, "--wandb") == "--wandb: disabled by WANDB_MODE or WANDB_DISABLED; unset it"


def test_a_failure_costs_a_line(entered, capsys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "wandb").write_text("in the way")
    assert evaluate(entered, "--wandb", "-o", tmp_path / "out") == 0
    assert "warning: nothing was logged to Weights & Biases: " in capsys.readouterr().out
    assert (tmp_path / "out" / "evaluation.csv").exists()
