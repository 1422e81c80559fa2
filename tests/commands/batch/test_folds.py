import statistics
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from segtrain.checkpoint import load_checkpoint
from segtrain.command import run_command
from segtrain.commands.batch.folds import report_folds, sum_matrices
from segtrain.commands.batch.plan import PlannedRun, plan_runs
from segtrain.data.splits import read_splits
from segtrain.inference.predictor import Predictor
from segtrain.log.record import read_record
from segtrain.training import command as train
from segtrain.training.resume import Saved
from tests.conftest import PROJECT, SMALL, draw_folders


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> list[PlannedRun]:
    """The finished runs of three folds of twelve images."""
    root = tmp_path_factory.mktemp("folds")
    layers = [*SMALL, "train.device=cpu", "data.folds=3", f"runs_dir={root / 'runs'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        layers.append(f"data.root={draw_folders(root / 'street')}")
        runs = plan_runs(layers, seeds=[None], folds=None)
        for each in runs:
            options = Namespace(layers=each.layers, resume=None, check=False, overfit=None, run_folder=each.folder)
            assert run_command(train.main, options) == 0
    return runs


def test_the_out_of_fold_score_is_that_of_scikit_learn(folds, capsys) -> None:
    truth, guess, seen = [], [], set()
    for each in folds:
        root = each.config.data.root
        predictor = Predictor.load(each.folder, device="cpu")
        learned = load_checkpoint(each.folder / "last.pt")["samples"]
        held_out = names_of_fold(each)
        assert len(held_out) == learned["validation"][0] == 4 and not seen & held_out
        seen |= held_out
        for name in held_out:
            split, number = name.split("/")
            truth.append(np.asarray(Image.open(root / split / "masks" / f"{number}.png")).ravel())
            image = np.asarray(Image.open(root / split / "images" / f"{number}.png").convert("RGB"))
            guess.append(predictor.predict(image).ravel())
    assert len(seen) == 12
    truth, guess = np.concatenate(truth), np.concatenate(guess)
    truth, guess = truth[truth != 255], guess[truth != 255]

    saved = [Saved.model_validate(load_checkpoint(each.folder / "last.pt")) for each in folds]
    matrix, images = sum_matrices(saved)
    assert images == 12
    np.testing.assert_array_equal(matrix, confusion_matrix(truth, guess, labels=range(7)))
    report_folds(folds)
    expected = jaccard_score(truth, guess, average="macro", labels=np.union1d(truth, guess))
    out = capsys.readouterr().out
    assert f"\nstreet, seed 0: out-of-fold miou {expected:.4f}: one confusion matrix over all 12 images, " in out
    scores = [read_record(each.folder).best["val/miou"] for each in folds]
    deviations = f"mean {statistics.mean(scores):.4f}, standard deviation {statistics.stdev(scores):.4f}\n"
    assert f"\nstreet, seed 0: miou of 3 folds: {deviations}" in out
    folders = " ".join(str(each.folder) for each in folds)
    assert f"ensemble of the folds: python predict.py {folders} IMAGES -o OUTPUT\n" in out


def names_of_fold(each: PlannedRun) -> set[str]:
    """The names of the validation images, as `split/name`."""
    return {sample.name for sample in read_splits(each.config.data, seed=each.config.seed)["val"]}


def test_the_models_of_the_folds_are_an_ensemble(folds) -> None:
    predictor = Predictor.load(*(each.folder for each in folds), device="cpu")
    assert predictor.predict(np.zeros((64, 80, 3), np.uint8)).shape == (64, 80)


def test_a_missing_fold_gives_no_score(folds, capsys) -> None:
    report_folds([folds[0], folds[2]])
    assert capsys.readouterr().out == "\nstreet, seed 0: no out-of-fold score: these folds cover 8 of 12 images\n"


def test_a_damaged_fold_gives_no_score(folds, capsys) -> None:
    path = folds[1].folder / "last.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    report_folds(folds)
    assert capsys.readouterr().out == (
        f"\nstreet, seed 0: no out-of-fold score: {path}: is truncated or is not a checkpoint\n"
    )
    path.write_bytes(whole)


def test_a_fold_without_a_score(folds) -> None:
    saved = [Saved.model_validate(load_checkpoint(each.folder / "last.pt")) for each in folds]
    saved[1].best.matrix = []
    with pytest.raises(ValueError, match="a fold has no evaluation with a score"):
        sum_matrices(saved)
