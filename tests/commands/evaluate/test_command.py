"""python -m segtrain evaluate: from a run to the folder that it leaves."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segtrain.checkpoint import load_checkpoint
from segtrain.commands.export import torchscript
from segtrain.images.reading import read_image
from segtrain.inference.load import load_trained
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from segtrain.metrics import ConfusionMatrix, compute_metrics
from tests.commands.evaluate.evaluating import (
    BINARY,
    LAYERS,
    NAMES,
    draw_layers,
    evaluate,
    numbers_in,
    read_rows,
    refused,
    scores_of_training,
)
from tests.commands.export.exporting import options_of

FILES = ["calibration.png", "confusion.png", "evaluation.csv", "evaluation.json", "evaluation.txt", "images.csv"]
FILES += ["worst.png"]
RESIZED = "transforms.val=[{Resize: {height: 48, width: 96}}]"


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory) -> SimpleNamespace:
    """A plain evaluation of a copy of the run, and what it said."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "run"))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert evaluate(run) == 0
    root = load_checkpoint(run / "best.pt")["config"]["data"]["root"]
    return SimpleNamespace(run=run, folder=run / "evaluation-val-1", said=said.getvalue(), root=root)


def test_a_plain_evaluation_is_that_of_the_training_to_the_last_digit(evaluated):
    numbers, scores = numbers_in(evaluated.folder), scores_of_training(evaluated.run)
    assert len(scores) > 20 and {key: numbers[key] for key in scores} == scores
    assert numbers["miou"] == load_checkpoint(evaluated.run / "best.pt")["score"]


@pytest.mark.parametrize("overrides", [[RESIZED], [*BINARY, RESIZED], LAYERS])
def test_so_it_is_for_every_kind_of_task_and_resized(overrides, fitted, dataset):
    draw_layers(dataset)
    made = fitted(*overrides, "train.epochs=1", "data.eval_batch_size=3")
    assert evaluate(made.folder) == 0
    numbers, scores = numbers_in(made.folder / "evaluation-val-1"), scores_of_training(made.folder)
    assert len(scores) >= 15 and {key: numbers[key] for key in scores} == scores


def test_what_it_says_and_leaves(evaluated):
    said, folder = evaluated.said, evaluated.folder
    assert sorted(path.name for path in folder.iterdir()) == FILES
    lines = said.splitlines()
    assert lines[0] == f"{evaluated.run}, on the 4 images of the val split of {evaluated.root} (folders)"
    assert " ".join(lines[2].split()) == "class IoU 95% interval boundary IoU Dice precision recall pixels"
    assert [line.split()[0] for line in lines[4:11]] == NAMES and lines[12].startswith("mean ")
    assert said.endswith(f"\n{folder}: {', '.join(FILES)}\n")
    assert (folder / "evaluation.txt").read_text() == said.removesuffix(f"\n{folder}: {', '.join(FILES)}\n")
    for definition in ("mIoU is ", "Boundary IoU is ", "The intervals contain ", "Calibration error (top label"):
        assert f"\n{definition}" in said
    rows = {row["name"]: row for row in read_rows(folder / "evaluation.csv")}
    assert float(rows["miou"]["low"]) <= float(rows["miou"]["value"]) <= float(rows["miou"]["high"])
    assert 0 < float(rows["boundary_iou/sky"]["value"]) < 1 and rows["images"]["value"] == "4"
    assert sum(int(rows[f"pixels/{name}"]["value"]) for name in NAMES) == 4 * 62 * 80  # two rows of 64 are ignored
    assert all(float(rows[name]["value"]) > 0 for name in ("images_per_second", "image_ms_median", "image_ms_p90"))


def test_the_images_with_the_worst_first(evaluated):
    rows = read_rows(evaluated.folder / "images.csv")
    assert sorted(row["name"] for row in rows) == ["000", "001", "002", "003"]
    scores = [float(row["miou"]) for row in rows]
    assert scores == sorted(scores)
    folder = f"{evaluated.root}/val"
    predictor = Predictor.load(evaluated.run, device="cpu")
    images = [read_image(f"{folder}/images/{index:03d}.png") for index in range(4)]
    labels = predictor.labels(predictor.probabilities(images))
    for index, prediction in enumerate(labels):
        confusion = ConfusionMatrix(7)
        mask = np.array(Image.open(f"{folder}/masks/{index:03d}.png")).astype(np.int64)
        confusion.update(prediction, prediction.new_tensor(mask))
        expected = compute_metrics(confusion.matrix, NAMES)
        (row,) = (row for row in rows if row["name"] == f"{index:03d}")
        assert float(row["miou"]) == pytest.approx(expected["miou"], abs=1e-15)
        assert {name: row[f"iou/{name}"] for name in NAMES} == {
            name: "" if np.isnan(expected[f"iou/{name}"]) else str(expected[f"iou/{name}"]) for name in NAMES
        }


def test_the_flags_are_those_of_the_predictor(kept, capsys):
    flags = ["--flip", "--scales", "0.75,1", "--tile", "48", "--overlap", "0.5"]
    assert evaluate(kept, *flags) == 0
    assert "applied with tile_px 48, overlap 0.5, scales 0.75,1, flip horizontal\n" in capsys.readouterr().out
    options = InferOptions(tile_px=48, overlap=0.5, scales=(0.75, 1), flip="horizontal", batch_size=4)
    predictor = Predictor.load(kept, device="cpu", options=options)
    root = load_checkpoint(kept / "best.pt")["config"]["data"]["root"]
    confusion = ConfusionMatrix(7)
    images = [read_image(f"{root}/val/images/{index:03d}.png") for index in range(4)]
    masks = np.stack([np.array(Image.open(f"{root}/val/masks/{index:03d}.png")) for index in range(4)])
    labels = predictor.labels(predictor.probabilities(images))
    confusion.update(labels, labels.new_tensor(masks.astype(np.int64)))
    numbers = numbers_in(kept / "evaluation-val-1")
    assert numbers["miou"] == compute_metrics(confusion.matrix, NAMES)["miou"] != scores_of_training(kept)["miou"]


def test_nothing_is_overwritten_unless_it_is_asked_for(kept, tmp_path, capsys):
    assert evaluate(kept) == evaluate(kept / "best.pt", "--split", "train") == evaluate(kept) == 0
    assert (
        "the model was trained on these images: the scores do not show how well it does on others\n"
        in capsys.readouterr().out
    )
    assert {path.name for path in kept.glob("evaluation-*")} == {
        "evaluation-val-1",
        "evaluation-val-2",
        "evaluation-train-1",
    }
    out = tmp_path / "out"
    assert evaluate(kept, "-o", out) == 0
    before = numbers_in(out)
    assert evaluate(kept, "--flip", "-o", out) == 0
    assert numbers_in(out)["miou"] != before["miou"] and sorted(path.name for path in out.iterdir()) == FILES
    assert refused(capsys, kept, "-o", kept) == (
        f"{kept}: contains a confusion.png that was not written by an evaluation; choose another folder with -o"
    )
    (tmp_path / "file").write_text("")
    assert refused(capsys, kept, "-o", tmp_path / "file") == (
        f"{tmp_path / 'file'}: cannot create a folder there: File exists; choose another with -o"
    )


def test_a_folder_that_came_to_nothing_is_taken_away(kept, tmp_path, capsys):
    assert "has classes" in refused(capsys, kept, "data.classes=[a, b, c, d, e, f, g]")
    assert not list(kept.glob("evaluation-*"))
    (tmp_path / "mine").mkdir()
    for folder in ("mine", "mine/new", "mine/other/new"):
        refused(capsys, kept, "data.classes=[a, b, c, d, e, f, g]", "-o", tmp_path / folder)
        assert (tmp_path / "mine").is_dir() and not list((tmp_path / "mine").iterdir())


def test_votes_have_no_calibration(kept, tmp_path):
    assert evaluate(kept, kept, "--vote", "-o", tmp_path / "out") == 0
    assert not (tmp_path / "out" / "calibration.png").exists()
    numbers = numbers_in(tmp_path / "out")
    assert "calibration_error" not in numbers and numbers["miou"] == scores_of_training(kept)["miou"]


@pytest.mark.parametrize(("overrides", "names"), [(BINARY, ["blob"]), (LAYERS, ["warm", "cold"])])
def test_thresholds_are_found_kept_and_taken(overrides, names, fitted, dataset, capsys):
    draw_layers(dataset)
    run = fitted(*overrides, "train.epochs=1").folder
    assert evaluate(run, "--tune-threshold") == 0
    said = capsys.readouterr().out
    path = run / "best.thresholds.json"
    assert f"written to {path}, which every command reads; delete it to use 0.5 again\n" in said
    assert "optimistic" in said
    kept = json.loads(path.read_text())["thresholds"]
    found = re.findall(r"^(\w+) +threshold (\S+), IoU (\S+) before, (\S+) after$", said, re.MULTILINE)
    assert [(name, float(threshold)) for name, threshold, *_ in found] == list(kept.items())
    before = numbers_in(run / "evaluation-val-1")
    assert list(kept) == names and all(
        before[f"iou/{name}"] == scores_of_training(run)[f"iou/{name}"] for name in names
    )
    assert evaluate(run) == 0
    tuned = ",".join(f"{threshold:g}" for threshold in kept.values())
    assert f"\napplied with thresholds {tuned}\n" in capsys.readouterr().out
    after = numbers_in(run / "evaluation-val-2")
    for name, _, old, new in found:
        assert (old, new) == (f"{before[f'iou/{name}']:.4f}", f"{after[f'iou/{name}']:.4f}")
        assert after[f"iou/{name}"] > before[f"iou/{name}"]
    assert Predictor.load(run, device="cpu").task.thresholds == list(kept.values())
    assert evaluate(run, "--threshold", "0.5", "-o", run / "half") == 0
    assert numbers_in(run / "half")["miou"] == before["miou"]
    labels = run / "labels.torchscript"
    torchscript.export(load_trained(run, device="cpu"), labels, options_of(labels=True))
    reason = "a model returns labels, not probabilities; export it without --labels"
    assert refused(capsys, labels, "--trust", "--config", run, "--tune-threshold") == f"--tune-threshold: {reason}"
    assert refused(capsys, labels, "--trust", "--config", run, "--threshold", "0.4") == f"--threshold: {reason}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--tune-threshold"],
            "--tune-threshold: {run} chooses the most probable of 7 classes; thresholds are for a single class or "
            "for overlapping classes",
        ),
        (
            ["--tune-threshold", "--split", "test"],
            "--tune-threshold: choosing thresholds on the test split would bias its score; use --split val",
        ),
        (["--tune-threshold", "--vote"], "--tune-threshold: votes do not have thresholds; remove --vote"),
        (
            ["--tune-threshold", "--threshold", "0.4"],
            "--tune-threshold finds what --threshold sets; remove one of them",
        ),
        (["--scales", "9"], "--scales 9: each must be greater than 0 and at most 8"),
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
    ],
)
def test_flags_that_make_no_sense(trained, flags, message, capsys):
    assert refused(capsys, trained, *flags) == message.format(run=trained)
