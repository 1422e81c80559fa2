"""Evaluation folder: what evaluate writes is what is read; anything else is one line."""

import numpy as np
import pytest

from segtrain.errors import CheckpointError
from segtrain.inference.evaluation import read_evaluation
from segtrain.inference.options import InferOptions
from segtrain.metrics import class_counts, compute_iou
from tests.commands.compare.comparing import draw_counts, draw_evaluation
from tests.commands.evaluate.evaluating import NAMES, evaluate, numbers_in, read_rows


def test_what_evaluate_writes(kept):
    assert evaluate(kept, "--flip", "--scales", "0.5,1") == 0
    folder = kept / "evaluation-val-1"
    record = read_evaluation(folder)
    assert record.info.options == InferOptions(scales=(0.5, 1.0), flip="horizontal", batch_size=4)
    assert (record.info.models, record.info.split, record.info.epoch) == ([str(kept)], "val", 1)
    assert record.info.names == NAMES and record.info.data["root"].endswith("street")
    assert record.values == numbers_in(folder) | {key: record.values[key] for key in record.values}
    iou = compute_iou(record.counts.sum(axis=0))
    assert record.values["miou"] == pytest.approx(np.nanmean(iou))
    rows = {row["name"]: row for row in read_rows(folder / "images.csv")}
    for name, counts in zip(record.images, record.counts, strict=True):
        assert float(rows[name]["iou/road"]) == pytest.approx(compute_iou(counts)[1])
    assert record.counts[:, 1].sum() == 4 * 62 * 80  # two rows of 64 are ignored


def test_names_that_look_like_something_else(tmp_path):
    images = ["001", "NA", "None", "1e3", "a,b", 'x"y', "ü", " "]
    matrix = np.arange(9).reshape(3, 3)
    counts = np.stack([class_counts(matrix + index) for index in range(8)])
    folder = draw_evaluation(tmp_path / "a", counts, images=images)
    record = read_evaluation(folder)
    order = sorted(range(8), key=images.__getitem__)  # as the record has them, whatever the file's order
    assert record.images == sorted(images) and (record.counts == counts[order]).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", None, "has no evaluation.json, which older versions did not write; evaluate again"),
        ("evaluation.json", "", "evaluation.json: cannot be read: Expecting value"),
        ("evaluation.json", "[]", "evaluation.json: cannot be read: the content: Input should be a valid dictionary"),
        ("evaluation.json", '{"models": 3}', "evaluation.json: cannot be read: models: "),
        ("evaluation.csv", "", "evaluation.csv: cannot be read: No columns to parse from file"),
        ("evaluation.csv", "name,value\nmiou,much\n", "evaluation.csv: cannot be read: could not convert string"),
        ("images.csv", "name,miou\na,0.5\n", "images.csv: has no column "),
        ("images.csv", None, "images.csv: cannot be read: "),
        ("images.csv", b"\x00\xff\x13\n", "images.csv: "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    folder = draw_evaluation(tmp_path / "a", draw_counts(3))
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError) as error:
        read_evaluation(folder)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


def test_options_out_of_range_and_rows_without_counts(tmp_path):
    folder = draw_evaluation(tmp_path / "a", draw_counts(3))
    path = folder / "evaluation.json"
    text = path.read_text()
    path.write_text(text.replace('"overlap": 0.25', '"overlap": 2'))
    with pytest.raises(CheckpointError, match="--overlap 2"):
        read_evaluation(folder)
    path.write_text(text)
    lines = (folder / "images.csv").read_text().splitlines()
    (folder / "images.csv").write_text("\n".join([*lines[:-1], lines[-1][:9]]))
    with pytest.raises(CheckpointError, match="one image has no counts; evaluate again"):
        read_evaluation(folder)
    (folder / "images.csv").write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(CheckpointError, match="an image is listed twice"):
        read_evaluation(folder)
