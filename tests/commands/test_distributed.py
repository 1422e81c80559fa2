"""Predictions and evaluations that several processes share: the same files as from one."""

from pathlib import Path

import pandas

from tests.conftest import PROJECT, run
from tests.training.test_distributed import finish, launch


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_predictions_are_shared(trained, tmp_path):
    images = trained.parent.parent / "street" / "val" / "images"
    broken = tmp_path / "more" / "broken.png"
    broken.parent.mkdir()
    broken.write_bytes(b"not an image")
    arguments = (trained, images, broken.parent, "--save", "index,coco-rle,rle", "--device", "cpu")
    alone = run("predict.py", *arguments, "-o", tmp_path / "one")
    shared = finish(launch(PROJECT, "predict.py", *arguments, "-o", tmp_path / "two"))
    assert alone.returncode == 1 and "exitcode  : 1 " in shared.err
    assert "4 images predicted" in shared.out and shared.out.count("predicted") == 1
    assert sum("broken.png" in line for line in shared.err.splitlines()) == 1
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    assert one.keys() == two.keys() and len(one) == 4 + 3
    for name in one.keys() - {"coco_rle.json"}:
        assert one[name] == two[name], name
    assert len(one["coco_rle.json"]) == len(two["coco_rle.json"])  # the order of the images is another


def test_evaluations_are_shared(trained, tmp_path):
    arguments = (trained, "--device", "cpu", "--batch-size", 1)
    alone = run("-m segtrain evaluate", *arguments, "-o", tmp_path / "one")
    shared = finish(launch(PROJECT, "-m", "segtrain", "evaluate", *arguments, "-o", tmp_path / "two"))
    assert (alone.returncode, shared.status) == (0, 0), shared.err
    one, two = files_in(tmp_path / "one"), files_in(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in ("images.csv", "worst.png", "confusion.png", "calibration.png"):
        assert one[name] == two[name], name
    tables = [pandas.read_csv(tmp_path / name / "evaluation.csv") for name in ("one", "two")]
    tables = [table[~table.iloc[:, 0].str.contains("images_per_second|image_ms")] for table in tables]
    pandas.testing.assert_frame_equal(*tables)
