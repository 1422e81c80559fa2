"""What to label next: `--rank`."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segtrain.commands.predict import raster
from segtrain.commands.predict.ranking import SHOWN_IMAGES
from segtrain.errors import ConfigError
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.predict.predicting import names_in, run
from tests.painted import BINARY, LAYERS, TASK, Painted, paint, painted, read

HALF = 0.811278  # bits of a probability of 0.25


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as table:
        return list(csv.DictReader(table))


def test_the_most_uncertain_images_come_first(tmp_path):
    paint(tmp_path / "in" / "sure.png", [[0, 255]])
    paint(tmp_path / "in" / "sub" / "unsure.png", [[64, 255]])
    paint(tmp_path / "in" / "torn.png", [[127, 128]])
    out = tmp_path / "out"
    assert run(tmp_path / "in", out, painted(BINARY), kinds=["index"], ranked=True).status == 0
    rows = rows_of(out / "rank.csv")
    assert [(row["rank"], row["image"]) for row in rows] == [
        ("1", "torn.png"),
        ("2", "sub/unsure.png"),
        ("3", "sure.png"),
    ]
    assert [float(row["entropy"]) for row in rows] == pytest.approx([1, HALF / 2, 0], abs=1e-2)
    assert [float(row["margin"]) for row in rows] == pytest.approx([1, 0.25, 0], abs=1e-2)
    by_name = {Path(row["image"]).name: row for row in rows_of(out / "manifest.csv")}
    for row in rows:
        assert {key: by_name[Path(row["image"]).name][key] for key in ("entropy", "margin")} == {
            "entropy": row["entropy"],
            "margin": row["margin"],
        }
    assert names_in(out) == ["manifest.csv", "rank.csv", "rank.jpg", "sub/unsure.png", "sure.png", "torn.png"]


def test_the_sheet_has_the_first_images_alone(tmp_path):
    for index in range(SHOWN_IMAGES + 3):
        paint(tmp_path / "in" / f"{index:02d}.png", np.full((30, 40), 127 - 5 * (index % 5)))
    run(tmp_path / "in", tmp_path / "out", painted(BINARY), kinds=["index"], ranked=True)
    assert len(rows_of(tmp_path / "out" / "rank.csv")) == SHOWN_IMAGES + 3
    whole = read(tmp_path / "out" / "rank.jpg").shape
    for path in (tmp_path / "in").glob("*.png"):
        path.unlink()
    paint(tmp_path / "in" / "a.png", np.full((30, 40), 127))
    run(tmp_path / "in", tmp_path / "out", painted(BINARY), kinds=["index"], ranked=True)
    one = read(tmp_path / "out" / "rank.jpg").shape
    assert whole == (SHOWN_IMAGES // 2 * one[0], 2 * one[1], 3)


@pytest.mark.parametrize("options", [{"tile_px": 16}, {"flip": "d4"}, {"batch_size": 1}])
@pytest.mark.parametrize("task", [TASK, BINARY, LAYERS], ids=lambda task: task.mode)
def test_tiles_views_and_probabilities_change_nothing(tmp_path, task, options):
    red = np.random.default_rng(0).integers(0, 3 if task is TASK else 256, (40, 50))
    paint(tmp_path / "in" / "a.png", red, red[::-1], red[:, ::-1])
    measured = []
    for number, (kinds, given) in enumerate([(["index"], {}), (["index"], options), (["npz"], options)]):
        run(tmp_path / "in", tmp_path / f"{number}", painted(task, **given), kinds=kinds, ranked=True)
        (row,) = rows_of(tmp_path / f"{number}" / "rank.csv")
        measured.append([float(row["entropy"]), float(row["margin"])])
    assert measured[1] == measured[2] == pytest.approx(measured[0], abs=1e-4)


def test_a_large_tiff_is_ranked_and_not_on_the_sheet(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "LARGE_PX", 1000)
    (tmp_path / "in").mkdir()
    red = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "in" / "large.tif", np.dstack([red, red, red]), photometric="rgb")
    paint(tmp_path / "in" / "small.png", red[:10, :10])
    out = tmp_path / "out"
    assert run(tmp_path / "in", out, painted(BINARY, tile_px=16), kinds=["index"], ranked=True).images == 2
    found = {row["image"]: float(row["entropy"]) for row in rows_of(out / "rank.csv")}
    share = np.clip(red / 255, 1e-9, 1 - 1e-9)
    expected = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert found == pytest.approx({"large.tif": expected.mean(), "small.png": expected[:10, :10].mean()}, abs=1e-4)


def test_a_model_that_gives_labels_is_never_unsure(tmp_path):
    class Labels(Painted):
        gives_labels = True

    paint(tmp_path / "in" / "a.png", [[0]])
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "in", tmp_path / "out", Predictor([Labels(TASK)], InferOptions()), ranked=True)
    assert str(error.value) == "--rank needs probabilities, but a model gives only labels; export it without --labels"
    assert not (tmp_path / "out").exists()
