"""What a run leaves for Weights & Biases, read back from the files that `wandb sync` would upload."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb
from PIL import Image

from segtrain.config.log_tune_schema import LogConfig, WandbConfig
from segtrain.log.log import Log
from tests.log.wandb_records import find_runs, read_history, read_items, read_records

LABELS = {"0": "sky", "1": "road", "2": "ignored"}

PROJECT = Path(__file__).resolve().parents[2]  # conftest brings torch, which a process of these tests need not import


def build_log(folder: Path, *, wandb_id: str | None = None, resume_epoch: int | None = None, **wandb) -> Log:
    config = LogConfig(progress=False, wandb=WandbConfig(**{"mode": "offline", "project": "streets"} | wandb))
    resolved = {
        "train": {"epochs": 2, "max_steps": None, "max_hours": None, "monitor": "miou"},
        "data": {"format": "folders", "root": str(folder / "data")},
        "model": {"weights": str(folder / "start")},
    }
    arguments = {"run_name": "toy-1", "resolved_config": resolved, "class_names": ["sky", "road"]}
    return Log(folder, config, **arguments, wandb_id=wandb_id, resume_epoch=resume_epoch)


def read_run(run: Path) -> SimpleNamespace:
    """One offline run: its records by their kind, its history, its configuration, its artifacts by their name."""
    records: dict[str, list] = {}
    for record in read_records(run):
        kind = record.WhichOneof("record_type")
        records.setdefault(kind, []).append(getattr(record, kind))
    changes = [item for record in records.get("config", []) for item in record.update]
    config = read_items([*records["run"][0].config.update, *changes])
    artifacts = [request.log_artifact.artifact for request in records.get("request", [])]
    artifacts = [item for item in [*artifacts, *records.get("artifact", [])] if item.name]
    return SimpleNamespace(
        run=run, records=records, history=read_history(run), config=config, artifacts={a.name: a for a in artifacts}
    )


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
    wandb.teardown()  # its service would keep the environment of an earlier test
    folder = tmp_path_factory.mktemp("toy-1")
    section = {"entity": "lab", "group": "ablation", "tags": ["a", "b"], "notes": "first try"}
    for path in (folder / "data" / "images" / "a.png", folder / "start" / "wandb.json"):
        path.parent.mkdir(parents=True)
        path.write_text('{"model": "lab/streets/start-1-xyz-best:best"}')
    log = build_log(folder, **section, artifacts=["best", "latest"], lineage=True)
    log.describe({"device": "cuda:0", "images": {"training": 8}, "fingerprint": {"training": "abc"}})
    photo = np.full((4, 6, 3), 200, np.uint8)
    Image.fromarray(photo).save(folder / "confusion.png")
    (folder / "best.pt").write_bytes(b"best weights")
    (folder / "last.pt").write_bytes(b"last weights")
    mask = np.array([[0, 0, 1, 1, 255, 255]] * 4, np.int32)
    street = SimpleNamespace(name="street/a", image=photo, mask=mask, prediction=mask % 2, panel=photo)
    unlabeled = SimpleNamespace(name="b", image=photo, mask=None, prediction=mask % 2, panel=photo)

    log.step(1, {"train/loss": 2.0, "lr": 0.1})
    log.step(2, {"train/loss": 1.0, "lr": 0.1})
    log.histograms(2, {"gradients/head.weight": np.histogram([0.0, 0.5, 1.0], bins=2)})
    scores = {"val/miou": 0.5, "val/iou/sky": 0.25, "val/iou/road": 0.75, "val/dice/sky": 0.4, "train/recall/sky": 0.1}
    log.epoch(1, 2, {"train/loss": 1.5} | scores)
    log.images(2, [street, unlabeled])
    log.confusion(2, np.array([[3, 1], [0, 4]]), folder / "confusion.png")
    log.checkpoint(folder / "best.pt", "best", {"epoch": 1})
    log.checkpoint(folder / "last.pt", "latest", {"epoch": 1})
    log.flush()
    log.step(2, {"late": 7.0})
    log.images(2, [SimpleNamespace(name="street/a", image=photo, mask=mask, prediction=mask % 1, panel=photo)])
    log.checkpoint(folder / "last.pt", "latest", {"epoch": 2})
    log.flush()
    log.finish({"best/epoch": 1, "best/val/miou": 0.5})
    wandb.teardown()  # as at the end of a process; only then is the last block of the file written
    (run,) = find_runs(folder)
    made = read_run(run)
    made.wandb_id, made.folder = log.wandb_id, folder
    return made


def test_run_record(finished):
    run = finished.records["run"][0]
    assert (run.run_id, run.project, run.entity, run.display_name) == (finished.wandb_id, "streets", "lab", "toy-1")
    assert (run.run_group, list(run.tags), run.notes) == ("ablation", ["a", "b"], "first try")
    assert run.job_type == "train"
    assert finished.config["train"] == {"epochs": 2, "max_steps": None, "max_hours": None, "monitor": "miou"}
    assert finished.config["resolved"] == {
        "device": "cuda:0", "images": {"training": 8}, "fingerprint": {"training": "abc"},
    }  # fmt: skip


def test_the_entry_is_noted_in_the_run_folder(finished):
    assert json.loads((finished.folder / "wandb.json").read_text()) == {
        "id": finished.wandb_id,
        "project": "streets",
        "entity": "lab",
        "url": None,
        "model": f"lab/streets/toy-1-{finished.wandb_id}-best:best",
    }


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
    assert (late["step"], late["late"]) == (3, 7.0)  # wandb would have dropped a second row of step 2


def test_epoch_means_are_drawn_against_the_epoch(finished):
    metrics = {metric.name or metric.glob_name: metric for metric in finished.records["metric"]}
    assert metrics["epoch/*"].step_metric == "epoch"
    assert metrics["epoch"].options.hidden


def test_the_summary_holds_the_best_of_the_monitored_metric_while_it_runs(finished):
    (metric,) = [metric for metric in finished.records["metric"] if metric.name == "val/miou"]
    assert metric.summary.max and not (metric.summary.min or metric.summary.last)


def test_overlay_is_the_photo_with_both_masks_and_class_labels(finished):
    files = finished.run / "files"
    shown = finished.history[1]["predictions"]
    assert (shown["width"], shown["height"], shown["captions"]) == (6, 4, ["street/a", "b"])
    assert np.array_equal(np.asarray(Image.open(files / shown["filenames"][0])), np.full((4, 6, 3), 200, np.uint8))
    expected = {"ground_truth": [0, 0, 1, 1, 2, 2], "prediction": [0, 0, 1, 1, 1, 1]}
    street, unlabeled = shown["all_masks"]
    assert set(street) == set(expected)
    for name, row in expected.items():
        mask = np.asarray(Image.open(files / street[name]["path"]))
        assert np.array_equal(mask, [row] * 4), name
    assert set(unlabeled) == {"prediction"}


def test_the_ground_truth_is_written_once(finished):
    (first, _), (again,) = (row["predictions"]["all_masks"] for row in finished.history[1:])
    assert again["ground_truth"] == first["ground_truth"] and again["prediction"] != first["prediction"]
    # The predictions of the first row are alike, and so one file.
    assert len([*(finished.run / "files").rglob("*.mask.png")]) == 3


def test_histograms_are_named_as_those_of_wandb_watch(finished):
    histogram = finished.history[1]["gradients/head.weight"]
    assert histogram == {"_type": "histogram", "values": [1, 2], "bins": [0, 0.5, 1]}


def test_class_labels(finished):
    updates = [item for config in finished.records["config"] for item in config.update]
    singletons = [json.loads(item.value_json) for item in updates if "mask/class_labels" in item.value_json]
    assert singletons, "class labels live in wandb's part of the configuration"
    labels = singletons[-1]["mask/class_labels"]
    assert labels["predictions_wandb_delimeter_ground_truth"]["value"] == LABELS
    assert labels["predictions_wandb_delimeter_prediction"]["value"] == LABELS


def test_confusion_matrix_is_a_chart_and_a_picture(finished):
    files = finished.run / "files"
    table = next(value for name, value in finished.history[1].items() if name.startswith("val/confusion_table"))
    assert json.loads((files / table["path"]).read_text()) == {
        "columns": ["Actual", "Predicted", "nPredictions"],
        "data": [["sky", "sky", 3], ["sky", "road", 1], ["road", "sky", 0], ["road", "road", 4]],
    }
    picture = finished.history[1]["val/confusion_picture"]
    assert (files / picture["path"]).exists() and (picture["width"], picture["height"]) == (6, 4)


def test_scores_by_class_but_the_iou_are_in_one_table(finished):
    """Sky: 3 pixels hit of 4 that are it and 3 predicted; road: 4 of 4, and 5."""
    table = json.loads((finished.run / "files" / finished.history[1]["val/classes"]["path"]).read_text())
    assert table["columns"] == ["class", "iou", "dice", "precision", "recall", "pixels"]
    sky, road = table["data"]
    assert sky == ["sky", 3 / 4, pytest.approx(6 / 7), 1.0, 3 / 4, 4]
    assert road == ["road", 4 / 5, pytest.approx(8 / 9), 4 / 5, 1.0, 4]


def test_summary_tells_the_best_epoch(finished):
    summary = read_items([item for record in finished.records["summary"] for item in record.update])
    assert (summary["best/epoch"], summary["best/val/miou"]) == (1, 0.5)
    assert finished.records["exit"][0].exit_code == 0


def test_artifacts(finished):
    logged = [item for item in finished.records["artifact"] if item.type == "model"]
    assert [item.name for item in logged] == [f"toy-1-{finished.wandb_id}-{kind}" for kind in ("best", "latest")]
    for artifact, alias, epoch, days in zip(logged, ("best", "latest"), (1, 2), (0, 30), strict=True):
        assert set(artifact.aliases) == {"latest", alias}  # wandb adds latest by itself
        assert json.loads(artifact.metadata) == {"epoch": epoch}
        assert artifact.ttl_duration_seconds == 86400 * days
        (entry,) = artifact.manifest.contents
        assert (entry.path, entry.size) == ("best.pt" if alias == "best" else "last.pt", 12)
        assert Path(entry.local_path).is_relative_to(finished.run.parent)
        assert Path(entry.local_path).read_bytes() == f"{'best' if alias == 'best' else 'last'} weights".encode()


def test_lineage(finished):
    """The dataset is an input that refers to the files; of the start there is the name, since wandb is offline."""
    data = finished.artifacts["data"]
    assert data.type == "dataset" and data.use_after_commit
    entries = {entry.path: entry for entry in data.manifest.contents}
    assert set(entries) == {"fingerprint.json", "root-0/images/a.png"}
    assert entries["root-0/images/a.png"].ref == (finished.folder / "data" / "images" / "a.png").as_uri()
    assert json.loads(Path(entries["fingerprint.json"].local_path).read_text()) == {"training": "abc"}
    assert json.loads(data.metadata)["images"] == {"training": 8}
    assert finished.config["used_model"] == "lab/streets/start-1-xyz-best:best"


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


def test_a_value_that_wandb_refuses_costs_one_line_and_the_run_goes_on(tmp_path, capsys):
    log = build_log(tmp_path)
    photo = np.zeros((4, 6, 3), np.uint8)
    log.images(1, [SimpleNamespace(name="a", image=photo, mask=None, prediction=photo, panel=photo)])
    log.flush()
    log.epoch(1, 2, {"lr": 0.1})
    log.flush()
    log.finish()
    _, warning, epoch = capsys.readouterr().out.splitlines()
    assert warning == "warning: wandb is disabled for the rest of this run: mask_data must be a 2D array"
    assert epoch == "epoch 1/2  lr 1.0e-01"
    assert log.wandb_id


@pytest.mark.parametrize(
    ("exit_code", "title", "level"), [(143, "toy-1 stopped", "WARN"), (1, "toy-1 failed", "ERROR")]
)
def test_a_run_that_ends_early_sends_an_alert_and_its_last_checkpoint(tmp_path, exit_code, title, level):
    (tmp_path / "last.pt").write_bytes(b"last weights")
    log = build_log(tmp_path, alert=True, artifacts=["latest"])
    log.checkpoint(tmp_path / "last.pt", "latest", {"epoch": 1})
    log.finish(exit_code=exit_code, reason="no space left")
    wandb.teardown()
    made = read_run(*find_runs(tmp_path))
    (alert,) = made.records["alert"]
    assert (alert.title, alert.text, alert.level) == (title, "no space left", level)
    assert [artifact.type for artifact in made.artifacts.values()] == ["model"]
    assert made.records["exit"][0].exit_code == exit_code


def test_a_run_that_ends_well_sends_none(finished):
    assert "alert" not in finished.records


def test_the_registry_needs_the_network(tmp_path, capsys):
    (tmp_path / "best.pt").write_bytes(b"best weights")
    log = build_log(tmp_path, registry="wandb-registry-model/street")
    log.checkpoint(tmp_path / "best.pt", "best", {"epoch": 1})
    log.finish()
    _, kept, warning = capsys.readouterr().out.splitlines()
    assert kept == f"wandb: best.pt, 0.0 MB, was uploaded as artifact toy-1-{log.wandb_id}-best"
    assert warning.startswith(
        "warning: best.pt was not linked to wandb-registry-model/street: linking needs the network"
    )


SERVICE_KILLED = """
import os, signal, subprocess, sys, time
from pathlib import Path
from tests.log.test_wandb_writer import build_log
log = build_log(Path(sys.argv[1]))
log.step(1, {"lr": 0.1})
log.flush()
children = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb"], capture_output=True, text=True).stdout.split()
assert children
for child in children:
    os.kill(int(child), signal.SIGKILL)
time.sleep(0.5)
started = time.monotonic()
for step in range(2, 100):
    log.step(step, {"lr": 0.1})
    log.flush()
log.finish({"best/epoch": 1})
assert time.monotonic() - started < 5
print("trained")
"""


def test_a_service_that_is_killed_costs_one_line(tmp_path):
    process = start_python(SERVICE_KILLED, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    _, warning, last = output.decode().splitlines()
    assert warning.startswith("warning: wandb is disabled for the rest of this run: ") and last == "trained"


def test_with_a_network_the_model_is_an_input_and_the_registry_gets_best(tmp_path, monkeypatch, capsys):
    """What wandb is asked; its answers, for which there is no network here, are made up."""
    asked = []
    logged = SimpleNamespace(wait=lambda timeout: "the artifact, committed")
    monkeypatch.setattr(wandb.Run, "offline", property(lambda _: False))
    monkeypatch.setattr(wandb.Run, "use_artifact", lambda _, name: asked.append(("use", name)))
    monkeypatch.setattr(wandb.Run, "log_artifact", lambda _, artifact, aliases: logged)
    monkeypatch.setattr(wandb.Run, "link_artifact", lambda _, *given: asked.append(("link", *given)))
    (tmp_path / "data").mkdir()
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "wandb.json").write_text('{"model": "lab/streets/start-1-xyz-best:best"}')
    (tmp_path / "best.pt").write_bytes(b"best weights")
    log = build_log(tmp_path, registry="wandb-registry-model/street", lineage=True)
    log.describe({"images": {}, "fingerprint": {}})
    log.checkpoint(tmp_path / "best.pt", "best", {"epoch": 1})
    log.finish()
    assert asked == [
        ("use", "lab/streets/start-1-xyz-best:best"),
        ("link", "the artifact, committed", "wandb-registry-model/street"),
    ]
    assert "warning" not in capsys.readouterr().out
