"""What a run leaves for Weights & Biases, read back from the files that `wandb sync` would upload."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb
from PIL import Image

from segtrain.config.schema import LogConfig, WandbConfig
from segtrain.log.log import Log
from tests.log.wandb_records import find_runs, read_history, read_items, read_records

LABELS = {"0": "sky", "1": "road", "2": "ignored"}

PROJECT = Path(__file__).resolve().parents[2]  # conftest brings torch, which a process of these tests need not import


def build_log(folder: Path, *, wandb_id: str | None = None, resume_epoch: int | None = None, **wandb) -> Log:
    config = LogConfig(progress=False, wandb=WandbConfig(**{"mode": "offline", "project": "streets"} | wandb))
    limits = {"epochs": 2, "max_steps": None, "max_hours": None}
    arguments = {"run_name": "toy-1", "resolved_config": {"train": limits}, "class_names": ["sky", "road"]}
    return Log(folder, config, **arguments, wandb_id=wandb_id, resume_epoch=resume_epoch)


@pytest.fixture(autouse=True, scope="module")
def nobody_is_logged_in(tmp_path_factory):
    """No key, no settings and no cache of the person who runs the tests."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        patch.setenv("NETRC", str(home / "netrc"))
        for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(home))
        patch.delenv("WANDB_DATA_DIR")  # is for the run to choose; set before so that the end of the tests unsets it
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> SimpleNamespace:
    """One offline run with everything in it."""
    folder = tmp_path_factory.mktemp("toy-1")
    section = {"entity": "lab", "group": "ablation", "tags": ["a", "b"], "notes": "first try"}
    log = build_log(folder, **section, artifacts=["best", "latest"])
    photo = np.full((4, 6, 3), 200, np.uint8)
    Image.fromarray(photo).save(folder / "confusion.png")
    (folder / "best.pt").write_bytes(b"best weights")
    (folder / "last.pt").write_bytes(b"last weights")
    mask = np.array([[0, 0, 1, 1, 255, 255]] * 4, np.int32)
    street = SimpleNamespace(name="street/a", image=photo, mask=mask, prediction=mask % 2, panel=photo)
    unlabelled = SimpleNamespace(name="b", image=photo, mask=None, prediction=mask % 2, panel=photo)

    log.step(1, {"train/loss": 2.0, "lr": 0.1})
    log.step(2, {"train/loss": 1.0, "lr": 0.1})
    log.epoch(1, 2, {"train/loss": 1.5, "val/miou": 0.5, "val/iou/sky": 0.25, "val/iou/road": 0.75})
    log.images(2, [street, unlabelled])
    log.confusion(2, np.array([[3, 1], [0, 4]]), folder / "confusion.png")
    log.checkpoint(folder / "best.pt", "best", {"epoch": 1})
    log.checkpoint(folder / "last.pt", "latest", {"epoch": 1})
    log.flush()
    log.step(2, {"late": 7.0})
    log.flush()
    log.finish({"best/epoch": 1, "best/val/miou": 0.5})
    wandb.teardown()  # as at the end of a process; only then is the last block of the file written
    (run,) = find_runs(folder)
    records: dict[str, list] = {}
    for record in read_records(run):
        kind = record.WhichOneof("record_type")
        records.setdefault(kind, []).append(getattr(record, kind))
    return SimpleNamespace(run=run, records=records, history=read_history(run), wandb_id=log.wandb_id)


def test_run_record(finished):
    run = finished.records["run"][0]
    assert (run.run_id, run.project, run.entity, run.display_name) == (finished.wandb_id, "streets", "lab", "toy-1")
    assert (run.run_group, list(run.tags), run.notes) == ("ablation", ["a", "b"], "first try")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["train"] == {"epochs": 2, "max_steps": None, "max_hours": None}


def test_history_has_one_row_per_step_and_every_metric_under_its_own_key(finished):
    first, second, late = finished.history
    assert first == {"step": 1, "train/loss": 2.0, "lr": 0.1}
    numbers = {name: value for name, value in second.items() if not isinstance(value, dict)}
    assert numbers == {
        "step": 2,
        "epoch": 1,
        "train/loss": 1.0,
        "epoch/train/loss": 1.5,
        "lr": 0.1,
        "val/miou": 0.5,
        "val/iou/sky": 0.25,
        "val/iou/road": 0.75,
    }
    assert late == {"step": 3, "late": 7.0}  # wandb would have dropped a second row of step 2


def test_epoch_means_are_drawn_against_the_epoch(finished):
    metrics = {metric.name or metric.glob_name: metric for metric in finished.records["metric"]}
    assert metrics["epoch/*"].step_metric == "epoch"
    assert metrics["epoch"].options.hidden


def test_overlay_is_the_photo_with_both_masks_and_class_labels(finished):
    files = finished.run / "files"
    overlay = finished.history[1]["predictions/street/a"]
    assert (overlay["width"], overlay["height"], overlay["caption"]) == (6, 4, "street/a")
    assert np.array_equal(np.asarray(Image.open(files / overlay["path"])), np.full((4, 6, 3), 200, np.uint8))
    expected = {"ground_truth": [0, 0, 1, 1, 2, 2], "prediction": [0, 0, 1, 1, 1, 1]}
    assert set(overlay["masks"]) == set(expected)
    for name, row in expected.items():
        mask = np.asarray(Image.open(files / overlay["masks"][name]["path"]))
        assert np.array_equal(mask, [row] * 4), name
    assert set(finished.history[1]["predictions/b"]["masks"]) == {"prediction"}
    assert finished.history[1]["panels/street/a"]["_type"] == "image-file"


def test_class_labels(finished):
    updates = [item for config in finished.records["config"] for item in config.update]
    singletons = [json.loads(item.value_json) for item in updates if "mask/class_labels" in item.value_json]
    assert singletons, "class labels live in wandb's part of the configuration"
    labels = singletons[-1]["mask/class_labels"]
    assert labels["predictions/street/a_wandb_delimeter_ground_truth"]["value"] == LABELS
    assert labels["predictions/street/a_wandb_delimeter_prediction"]["value"] == LABELS


def test_confusion_matrix_is_a_chart_and_a_picture(finished):
    files = finished.run / "files"
    table = next(value for name, value in finished.history[1].items() if name.startswith("val/confusion_table"))
    assert json.loads((files / table["path"]).read_text()) == {
        "columns": ["Actual", "Predicted", "nPredictions"],
        "data": [["sky", "sky", 3], ["sky", "road", 1], ["road", "sky", 0], ["road", "road", 4]],
    }
    picture = finished.history[1]["val/confusion_picture"]
    assert (files / picture["path"]).exists() and (picture["width"], picture["height"]) == (6, 4)


def test_summary_tells_the_best_epoch(finished):
    summary = read_items([item for record in finished.records["summary"] for item in record.update])
    assert (summary["best/epoch"], summary["best/val/miou"]) == (1, 0.5)
    assert finished.records["exit"][0].exit_code == 0


def test_artifacts(finished):
    artifacts = [request.log_artifact.artifact for request in finished.records.get("request", [])]
    artifacts += finished.records.get("artifact", [])
    found = {artifact.name: artifact for artifact in artifacts if artifact.type == "model"}
    assert list(found) == [f"toy-1-{finished.wandb_id}-latest", f"toy-1-{finished.wandb_id}-best"]
    for artifact, alias in zip(found.values(), ("latest", "best"), strict=True):
        assert set(artifact.aliases) == {"latest", alias}  # wandb adds latest by itself
        assert json.loads(artifact.metadata) == {"epoch": 1}
        (entry,) = artifact.manifest.contents
        assert (entry.path, entry.size) == ("best.pt" if alias == "best" else "last.pt", 12)
        assert Path(entry.local_path).is_relative_to(finished.run.parent)
        assert Path(entry.local_path).read_bytes() == f"{'best' if alias == 'best' else 'last'} weights".encode()


def start_python(text: str, folder: Path, **streams) -> subprocess.Popen:
    """A process with a wandb service of its own, as `train.py` has, instead of that of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environment["PYTHONPATH"] = str(PROJECT)
    return subprocess.Popen([sys.executable, "-W", "error", "-c", text, str(folder)], env=environment, **streams)


KILLED_IN_EPOCH_2 = """
import json, os, signal, sys, time
from pathlib import Path
from tests.log.test_wandb_writer import build_log
folder = Path(sys.argv[1])
saved = json.loads((folder / "last.json").read_text()) if (folder / "last.json").exists() else {}
log = build_log(folder, wandb_id=saved.get("id"), resume_epoch=saved.get("epoch"))
for epoch in range(saved.get("epoch", 0) + 1, 4):
    for step in range(4 * epoch - 3, 4 * epoch + 1):
        log.step(step, {"train/loss": 1 / step})
    log.epoch(epoch, 4 * epoch, {"train/loss": 0.5})
    if epoch == 2 and not saved:
        time.sleep(1.5)  # wandb writes its file twice a second
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "last.json").write_text(json.dumps({"epoch": epoch, "id": log.wandb_id}))
    log.flush()
log.finish()
"""


def test_killed_and_resumed_run_has_every_step_once(tmp_path):
    assert start_python(KILLED_IN_EPOCH_2, tmp_path).wait(timeout=60) == -signal.SIGKILL
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3  # epoch 2 is told, its checkpoint is not there
    assert start_python(KILLED_IN_EPOCH_2, tmp_path).wait(timeout=60) == 0

    first, second = find_runs(tmp_path)
    ids = {record.run.run_id for run in (first, second) for record in read_records(run) if record.HasField("run")}
    assert len(ids) == 1
    assert [row["step"] for row in read_history(first)] == [1, 2, 3, 4]
    assert [row["step"] for row in read_history(second)] == [5, 6, 7, 8, 9, 10, 11, 12]
    assert [row["epoch"] for row in read_history(first) + read_history(second) if "epoch" in row] == [1, 2, 3]
    assert [line[0] for line in (tmp_path / "metrics.csv").read_text().splitlines()[1:]] == ["1", "2", "3"]


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


def test_a_value_that_wandb_refuses_costs_one_line_and_the_run_goes_on(tmp_path, capsys):
    log = build_log(tmp_path)
    photo = np.zeros((4, 6, 3), np.uint8)
    log.images(1, [SimpleNamespace(name="a", image=photo, mask=None, prediction=photo, panel=photo)])
    log.flush()
    log.epoch(1, 2, {"lr": 0.1})
    log.flush()
    log.finish()
    _, warning, epoch = capsys.readouterr().out.splitlines()
    assert warning == "warning: wandb is off for the rest of this run: mask_data must be a 2D array"
    assert epoch == "epoch 1/2  lr 1.0e-01"
    assert log.wandb_id
