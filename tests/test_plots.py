import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segtrain.plots import plot_confusion, plot_curves

AWKWARD = ["background", "_private", "$x^2", "a/b", "a very long class name that has no end at all"]


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def has(picture, color, tolerance=12):
    return (np.abs(picture - color).max(axis=2) <= tolerance).any()


def make_rows(epochs, names):
    epoch = np.arange(1, epochs + 1)
    rows = pd.DataFrame({"epoch": epoch, "train/loss": 2.0 / epoch, "train/loss/DiceLoss": 1.0 / epoch})
    rows["val/miou"] = 0.5 - 0.1 * np.abs(epoch - 3)
    rows["val/pixel_accuracy"] = 0.9
    rows["lr"] = 1e-3 / epoch
    rows["seconds"] = 1.5
    iou = {f"val/iou/{name}": np.full(epochs, index / len(names)) for index, name in enumerate(names)}
    return pd.concat([rows, pd.DataFrame(iou)], axis=1)


def record_texts(monkeypatch):
    """Every text of the figure that is saved next."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    texts, save = [], Figure.savefig

    def savefig(figure, path):
        texts.extend(text.get_text() for text in figure.findobj(Text))
        save(figure, path)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return texts


def test_curves_show_every_line_and_mark_the_best_epoch(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    rows = make_rows(6, AWKWARD)
    rows.loc[rows["epoch"] % 3 != 0, [column for column in rows if column.startswith("val/")]] = np.nan
    plot_curves(rows, tmp_path / "curves.png")
    picture = read(tmp_path / "curves.png")
    assert picture.shape == (1000, 1600, 3)
    assert has(picture, (42, 120, 214)) and has(picture, (224, 103, 44))
    assert "best mIoU 0.5000 at epoch 3" in texts
    legends = {text.strip().rsplit("  ", 1)[0] for text in texts}
    assert {"train/loss", "DiceLoss", "mIoU", "pixel accuracy", "lr", *AWKWARD[:4]} <= legends
    assert "a very long class name …" in legends


@pytest.mark.parametrize("rows", [pd.DataFrame(), make_rows(0, AWKWARD)], ids=["no columns", "no rows"])
def test_curves_without_rows(tmp_path, monkeypatch, rows):
    texts = record_texts(monkeypatch)
    plot_curves(rows, tmp_path / "curves.png")
    assert texts.count("nothing recorded yet") == 4
    assert read(tmp_path / "curves.png").shape == (1000, 1600, 3)


def test_curves_of_one_epoch(tmp_path):
    plot_curves(make_rows(1, AWKWARD), tmp_path / "curves.png")
    assert has(read(tmp_path / "curves.png"), (42, 120, 214))


def test_curves_without_evaluation_or_with_a_diverged_loss(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    rows = make_rows(3, [])[["epoch", "train/loss", "lr"]]
    rows["val/miou"] = np.nan
    rows.loc[2, "train/loss"] = np.inf
    plot_curves(rows, tmp_path / "curves.png")
    assert texts.count("nothing recorded yet") == 2
    assert not any(text.startswith("best") for text in texts)


def test_curves_of_many_classes_name_only_the_extremes(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    plot_curves(make_rows(4, [f"class {index}" for index in range(150)]), tmp_path / "curves.png")
    assert "last value: the 5 best and 10 worst of 150" in texts
    assert sum(text.startswith(" class ") for text in texts) == 15
    assert has(read(tmp_path / "curves.png"), (208, 208, 208), tolerance=2)


def test_confusion_has_shares_of_the_true_class(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    plot_confusion([[3, 1, 0], [0, 50, 1], [0, 0, 0]], ["sky", "$car", "_tree"], tmp_path / "confusion.png")
    picture = read(tmp_path / "confusion.png")
    assert picture.shape == (600, 720, 3)
    assert has(picture, (8, 48, 107), tolerance=25)  # the dark end: 98 %
    assert has(picture, (230, 230, 230), tolerance=2)  # the row that has no pixels
    assert {"75%", "25%", "98%", "2.0%"} == {text for text in texts if text.endswith("%")} - {
        "0%",
        "20%",
        "40%",
        "60%",
        "80%",
        "100%",
    }
    assert {"sky", "$car", "_tree", "ground truth", "prediction"} <= set(texts)
    assert "Confusion matrix (gray: not in the ground truth)" in texts


def test_confusion_of_many_classes(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    names = [f"class {index}" for index in range(60)]
    plot_confusion(np.eye(60) * 9 + 1, names, tmp_path / "confusion.png")
    assert read(tmp_path / "confusion.png").shape == (2200, 2320, 3)
    assert "14%" not in texts  # (9 + 1) / (9 + 60): no numbers in cells this small
    assert set(names) <= set(texts)


def test_confusion_of_nothing_and_of_the_wrong_size(tmp_path):
    plot_confusion(np.zeros((2, 2)), ["a", "b"], tmp_path / "confusion.png")
    assert has(read(tmp_path / "confusion.png"), (230, 230, 230), tolerance=2)
    with pytest.raises(ValueError, match=r"3 class names for a confusion matrix of shape \(2, 2\)"):
        plot_confusion(np.zeros((2, 2)), ["a", "b", "c"], tmp_path / "confusion.png")


def test_pyplot_is_never_loaded(tmp_path):
    code = """
import sys
import pandas as pd
from segtrain.plots import plot_confusion, plot_curves
loaded = "matplotlib" in sys.modules
plot_confusion([[1, 0], [0, 1]], ["a", "b"], sys.argv[1])
plot_curves(pd.DataFrame({"epoch": [1], "train/loss": [1.0]}), sys.argv[1])
sys.exit(loaded or "matplotlib.pyplot" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "chart.png")], check=True)


def test_classes_that_overlap_are_shown_each_for_itself(tmp_path, monkeypatch):
    texts = record_texts(monkeypatch)
    plot_confusion([[[6, 1], [1, 3]], [[5, 0], [5, 0]]], ["road", "wet"], tmp_path / "confusion.png")
    assert {"found", "missed", "false", "road", "wet", "Each class separately"} <= set(texts)
    assert [texts.count(text) for text in ("75%", "25%")] == [1, 2] and "100%" in texts
    assert has(read(tmp_path / "confusion.png"), (230, 230, 230), tolerance=2)  # nothing was predicted as wet
