"""Rows: which runs are one entry, and what they are ordered by."""

import pytest

from segtrain.commands.compare.gather import choose_measure, gather_rows
from segtrain.commands.compare.row import Measure, find_differences, group_rows
from tests.commands.compare.comparing import NAMES, draw_run

MIOU = Measure("miou", tuple(NAMES))


def entries_of(folder) -> list[tuple[str, list[str]]]:
    return [
        (entry.varied, [row.name for row in entry.rows])
        for entry in group_rows(gather_rows([str(folder / "*")], []), MIOU)
    ]


def test_what_changes_no_score_may_differ_between_seeds(tmp_path):
    draw_run(tmp_path / "a", [0.5], seed=2, name="first", log={"images": 3})
    draw_run(tmp_path / "b", [0.6], seed=1, name="second")
    assert entries_of(tmp_path) == [("seed", ["b", "a"])]


def test_the_same_seed_twice_is_two_rows(tmp_path):
    for name in ("before", "after"):
        draw_run(tmp_path / name, [0.5])
    assert entries_of(tmp_path) == [("", ["after"]), ("", ["before"])]


def test_folds_come_before_seeds(tmp_path):
    for seed in (0, 1):
        for fold in (0, 1):
            folder = tmp_path / f"s{seed}f{fold}"
            draw_run(folder, [0.5 + seed / 10], seed=seed, data={"folds": 2, "fold": fold, "val_split": "train"})
    assert entries_of(tmp_path) == [("data.fold", ["s1f0", "s1f1"]), ("data.fold", ["s0f0", "s0f1"])]


def test_what_varies_within_an_entry_does_not_differ_between_them(tmp_path):
    draw_run(tmp_path / "a", [0.5], seed=0)
    draw_run(tmp_path / "b", [0.6], seed=1)
    draw_run(tmp_path / "c", [0.7], seed=0, model={"name": "FPN", "pyramid_channels": 64})
    entries = group_rows(gather_rows([str(tmp_path / "*")], []), MIOU)
    assert find_differences(entries) == {"model.name": ["FPN", "Unet"], "model.pyramid_channels": [64, None]}


@pytest.mark.parametrize(
    ("monitors", "key", "problem"),
    [
        (["miou", "miou"], "miou", ""),
        (["iou/car", "iou/car"], "iou/car", ""),
        (["min loss", "min loss"], "loss", ""),
        (["min loss", "miou"], "miou", "the runs monitor different metrics (loss, miou): comparing mIoU instead"),
    ],
)
def test_the_measure_is_what_all_runs_monitor(tmp_path, monitors, key, problem):
    for name, monitor in zip("ab", monitors, strict=True):
        draw_run(tmp_path / name, [0.5], train={"monitor": monitor})
    problems: list[str] = []
    _, measure = choose_measure(gather_rows([str(tmp_path / "*")], problems), problems)
    assert (measure.key, measure.lowest, "".join(problems)) == (key, key == "loss", problem)


def test_a_mean_over_other_classes_is_taken_from_what_is_common():
    measure = Measure("miou", ("a", "b"), whole=False)
    assert measure.of_values({"miou": 0.1, "iou/a": 0.5, "iou/b": 0.7, "iou/c": 0.0}) == pytest.approx(0.6)
    assert measure.title == "mIoU of 2 classes" and Measure("iou/car", ("car",), whole=False).title == "IoU of car"


def test_runs_of_a_batch_are_called_after_what_they_have_in_common(tmp_path):
    for seed in (0, 1):
        draw_run(tmp_path / f"a-seed{seed}", [0.5], seed=seed)
        draw_run(tmp_path / f"street-{seed}", [0.6], seed=seed, optimizer={"lr": 0.5})
    entries = group_rows(gather_rows([str(tmp_path / "*")], []), MIOU)
    assert [entry.name for entry in entries] == ["2 seeds: street-0, -1", "a, 2 seeds"]
