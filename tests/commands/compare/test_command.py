"""python -m segtrain compare: from folders to the console, the tables and the page."""

import csv
import html
import re
import shutil

import numpy as np
import pytest

from segtrain.checkpoint import lock_run
from tests.commands.compare.comparing import compare, draw_counts, draw_evaluation, draw_run
from tests.commands.evaluate.evaluating import evaluate


def line_of(text: str, start: str) -> list[str]:
    """The words of the one line that begins so."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line.removeprefix(start).split()


def beside(text: str, best: str) -> list[str]:
    """The words of the first row below `vs. BEST`, without its name."""
    return text.split(f"vs. {best} ")[1].splitlines()[2].split()[1:]


def test_the_best_is_first_with_what_the_run_has_said(tmp_path, capsys):
    draw_run(tmp_path / "a-1", [0.5, 0.6], optimizer={"lr": 0.01})
    draw_run(tmp_path / "a-2", [0.7, 0.65], optimizer={"lr": 0.02}, summary=False)
    said, _ = compare(capsys, tmp_path / "a-1", tmp_path / "a-2")
    assert [line.split()[0] for line in said.splitlines()[2:4]] == ["a-2", "a-1"]
    assert line_of(said, "a-1") == ["0.6000", "2/2", "1.5", "M", "2", "min", "10.0", "finished"]
    assert line_of(said, "a-2 ")[:3] == ["0.7000", "1/2", "10.0"]
    assert "  optimizer.lr: 0.02 (a-2); 0.01 (a-1)\n" in said
    assert line_of(said, "sky") == ["0.7000", "-0.1000"]
    flat = " ".join(said.split())
    assert flat.count("python -m segtrain evaluate") == 1 and f"evaluate {tmp_path}/a-1 computes it" in flat
    assert said.endswith("as a page with curves and images, and as CSV: -o FOLDER\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1", "a-2"]  # nothing is written


def test_the_lowest_is_the_best_where_it_is_monitored_so(tmp_path, capsys):
    for name, score in (("worse", 0.3), ("better", 0.4)):
        draw_run(tmp_path / name, [score], train={"monitor": "min loss"}, optimizer={"lr": score})
    said, _ = compare(capsys, tmp_path / "*")
    assert said.splitlines()[0].split()[0] == "loss"
    assert line_of(said, "better ")[0] == "0.6000" and said.index("better") < said.index("worse")


def test_images_are_compared_in_pairs(tmp_path, capsys):
    good, bad = draw_counts(30), draw_counts(30)
    bad[:20, 0] -= 10
    for name, counts, score in (("good", good, 0.9), ("bad", bad, 0.8)):
        draw_evaluation(draw_run(tmp_path / name, [score], optimizer={"lr": score}) / "evaluation-val-1", counts)
    said, _ = compare(capsys, tmp_path / "*", "-o", tmp_path / "out")
    difference, low, _, high, better, worse, same = beside(said, "good")
    assert float(low) < float(difference) < float(high) < 0
    assert (better, worse, same) == ("0", "20", "10")
    with (tmp_path / "out" / "changes.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name (mIoU vs. good)", "bad"]
    assert sum(float(change) < 0 for _, change in rows[1:]) == 20 and len(rows) == 31
    assert "warning: no images in the page: " in said
    told = "the interval is from the newest evaluation, which has another score: bad 0."
    assert told in " ".join(said.split())


def test_seeds_are_one_line_with_mean_and_deviation(tmp_path, capsys):
    scores = [0.5, 0.56, 0.53]
    for seed, score in enumerate(scores):
        draw_run(tmp_path / f"a-{seed + 1}", [score], seed=seed)
    draw_run(tmp_path / "b-1", [0.4], optimizer={"lr": 0.5})
    said, _ = compare(capsys, tmp_path / "*", "-o", tmp_path / "out")
    assert line_of(said, "3 seeds: a-1, -2, -3")[:3] == ["0.5300", "±", "0.0300"]
    assert np.std(scores, ddof=1) == pytest.approx(0.03)
    with (tmp_path / "out" / "compare.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["3 seeds: a-1, -2, -3", "a-1", "a-2", "a-3", "b-1"]
    group = rows["3 seeds: a-1, -2, -3"]
    assert float(group["score"]) == pytest.approx(np.mean(scores))
    assert float(group["deviation"]) == pytest.approx(np.std(scores, ddof=1))
    assert rows["a-2"]["within"] == "3 seeds: a-1, -2, -3" and rows["a-2"]["score"] == "0.56"
    assert rows["b-1"]["set/optimizer.lr"] == "0.5" and rows["b-1"]["deviation"] == ""
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "a-2 (seed 1)" in page and "± 0.0300" in page


def test_what_is_wrong_costs_a_line_and_the_rest_is_compared(tmp_path, capsys):
    draw_run(tmp_path / "good-1", [0.5])
    broken = {"empty": "", "words": "epoch,val/miou\n1,much\n", "other": "a,b\n1,2\n"}
    for name, text in broken.items():
        (draw_run(tmp_path / name, [0.5]) / "metrics.csv").write_text(text)
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    said, _ = compare(capsys, tmp_path / "*", tmp_path / "gone", tmp_path / "zz*", tmp_path / "file")
    assert line_of(said, "good-1 ")[0] == "0.5000"
    assert "good-1" not in said.split("warning: ")[1] and said.count("warning: ") == 7
    flat = " ".join(said.split())
    for name in ("empty/metrics.csv: cannot be read: No columns", "other/metrics.csv: cannot be read: is not a table"):
        assert f"warning: {tmp_path}/{name}" in flat
    assert f"warning: {tmp_path}/words/metrics.csv: cannot be read: is not a table of numbers with a column" in flat
    assert f"warning: {tmp_path}/notes: is not a run folder; it has no config.yml" in flat
    assert "gone: does not exist" in flat and "zz*': matches no folder" in flat and "file: is a file; give the" in flat
    _, refused = compare(capsys, tmp_path / "gone", tmp_path / "zz*", tmp_path / ("long" * 99))
    assert len(refused.splitlines()) == 3 and "longlong: cannot be read: File name too long" in refused
    _, refused = compare(capsys, tmp_path)
    assert refused == f"{tmp_path}: is not a run folder; write '{tmp_path}/*' for the runs in it\n"


def test_runs_of_other_classes_are_compared_by_what_is_common(tmp_path, capsys):
    counts = draw_counts(10)
    one = draw_run(tmp_path / "one", [0.5])
    draw_evaluation(one / "evaluation-val-1", counts)
    other = draw_run(tmp_path / "other", [0.4], names=["car", "sky", "tree"])
    draw_evaluation(other / "evaluation-val-1", counts[:, :, [2, 0, 1]], names=["car", "sky", "tree"])
    draw_run(tmp_path / "strange", [0.9], names=["cat", "dog"])
    said, _ = compare(capsys, tmp_path / "*")
    assert said.splitlines()[0].split()[:4] == ["mIoU", "of", "2", "classes"]
    assert "comparing sky, car, which all have; leaving out road, tree" in " ".join(said.split())
    assert "its classes (cat, dog) differ from those of the others; left out" in " ".join(said.split())
    assert beside(said, "one") == ["+0.0000", "+0.0000", "to", "+0.0000", "0", "0", "10"]


def test_a_task_of_another_mode_is_told(tmp_path, capsys):
    draw_run(tmp_path / "many", [0.5])
    draw_run(tmp_path / "one", [0.4], names=["car"], loss={"BCEWithLogitsLoss": 1.0})
    said, _ = compare(capsys, tmp_path / "*")
    assert "the tasks differ (many is multiclass, one is binary)" in " ".join(said.split())
    assert said.splitlines()[0].split()[:3] == ["IoU", "of", "car"]


def test_evaluations_are_rows_too_and_another_split_is_left_out(tmp_path, capsys):
    run = draw_run(tmp_path / "a-1", [0.5])
    for name, split in (("evaluation-test-1", "test"), ("evaluation-test-2", "test"), ("evaluation-val-1", "val")):
        draw_evaluation(run / name, draw_counts(10, seed=len(name)), split=split)
    said, _ = compare(capsys, run / "evaluation-test-*", run / "evaluation-val-1")
    assert said.count("a-1/evaluation-test-") >= 2
    assert "evaluation-val-1: scores the val split, but the others test; left out" in " ".join(said.split())
    said, _ = compare(capsys, run, run / "evaluation-test-1")
    assert "evaluation-test-1: scores the test split, but the others val; left out" in " ".join(said.split())


def test_images_that_one_lacks_are_left_out_and_told(tmp_path, capsys):
    counts = draw_counts(12)
    for name, images in (("a", range(10)), ("b", range(2, 12))):
        run = draw_run(tmp_path / name, [0.5], optimizer={"lr": 0.1 if name == "a" else 0.2})
        names = [str(index) for index in images]
        draw_evaluation(run / "evaluation-val-1", counts[list(images)], images=names)
    said, _ = compare(capsys, tmp_path / "*")
    assert "b vs. a: 4 images are not in every evaluation, so left out" in said
    assert beside(said, "a")[-3:] == ["0", "0", "8"]


def test_the_newest_evaluation_of_the_best_epoch_counts(tmp_path, capsys):
    run = draw_run(tmp_path / "a", [0.4, 0.5])
    draw_evaluation(run / "evaluation-val-9", draw_counts(10), epoch=2)
    draw_evaluation(run / "evaluation-val-10", np.repeat(draw_counts(1), 5, axis=0), epoch=2)
    draw_evaluation(run / "evaluation-val-11", draw_counts(10), epoch=1)  # of an earlier best.pt
    draw_evaluation(run / "evaluation-val-12", draw_counts(10), epoch=2, models=["x", "y"])
    draw_evaluation(run / "evaluation-val-13", draw_counts(10), epoch=2, models=[f"{run}/epoch-2.pt"])
    low, high = line_of(compare(capsys, run)[0], "a  ")[1:4:2]
    assert low == high  # five images that are alike


def test_folds_of_other_images_are_one_line_and_not_compared_by_image(tmp_path, capsys):
    for fold, score in enumerate([0.5, 0.7]):
        run = draw_run(tmp_path / f"a-{fold}", [score], data={"folds": 2, "fold": fold, "val_split": "train"})
        draw_evaluation(run / "evaluation-val-1", draw_counts(4), images=[f"{fold}{index}" for index in range(4)])
    run = draw_run(tmp_path / "b", [0.4])
    draw_evaluation(run / "evaluation-val-1", draw_counts(4), images=["00", "01", "02", "03"])
    said, _ = compare(capsys, tmp_path / "*")
    assert line_of(said, "2 folds: a-0, -1")[:3] == ["0.6000", "±", "0.1414"]
    assert "vs." not in said


def test_one_path_is_one_row(tmp_path, capsys):
    draw_run(tmp_path / "a", [0.5])
    said, _ = compare(capsys, tmp_path / "a", tmp_path / "*", f"{tmp_path}/a/")
    assert said.count("0.5000") == 1


def test_a_run_that_is_trained_meanwhile_and_one_without_an_evaluation(tmp_path, capsys):
    with lock_run(draw_run(tmp_path / "a", [0.5, np.nan], summary=False)):
        draw_run(tmp_path / "b", [np.nan], summary=False)
        said, _ = compare(capsys, tmp_path / "*", "-o", tmp_path / "out")
    assert line_of(said, "a  ") == ["0.5000", "1/2", "10.0", "running"]
    assert line_of(said, "b  ") == ["-", "-/1", "10.0", "failed"]


def test_names_are_escaped_and_lines_fit(tmp_path, capsys):
    name = "<b>bold" + "-and-very-long" * 8
    for index in range(12):
        draw_run(tmp_path / f"{name}-{index}", [0.5], names=["<i>sky", "road"], optimizer={"lr": 0.1 + index})
    said, _ = compare(capsys, tmp_path / "*", "-o", tmp_path / "out")
    table = said.split("\n\nno interval")[0]
    assert max(map(len, table.splitlines())) <= 100 and "6 more values" in table and "8 more rows" in table
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "<b>" not in page and "<i>sky" not in page and html.escape("<i>sky") in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count(f"{html.escape(name)}-3") >= 4


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    _, refused = compare(capsys, draw_run(tmp_path / "a", [0.5]), "-o", tmp_path / "file")
    assert refused == f"{tmp_path}/file/compare.csv: cannot be written: Not a directory\n"


def test_pictures_of_what_changed_most(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    assert evaluate(run) == evaluate(run, "--flip", "--scales", "0.5") == 0
    said, _ = compare(capsys, run / "evaluation-val-*", "-o", tmp_path / "out")
    assert "  evaluate: " in said and said.endswith("/out: compare.csv, changes.csv, compare.html\n")
    page = (tmp_path / "out" / "compare.html").read_text()
    shown = re.findall(r"<h3>(\d+) <span", page)
    assert 1 <= len(shown) <= 4 and page.count("data:image/jpeg;base64,") == 5 * len(shown)
    (run / "best.pt").unlink()  # the rest of the page is there
    said, _ = compare(capsys, run / "evaluation-val-*", "-o", tmp_path / "out")
    assert f"warning: no images in the page: {run}: has no best.pt; " in " ".join(said.split())
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "Image by image" in page and "data:image" not in page
