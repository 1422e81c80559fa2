from pathlib import Path

import pytest

from segtrain.commands.batch.plan import PlannedRun, plan_runs
from segtrain.config.rules import load_config
from segtrain.errors import ConfigError
from segtrain.training.resume import start_run


def plan(*arguments: str, seeds=(None,), folds=(None,)) -> list[PlannedRun]:
    return plan_runs(arguments, seeds=list(seeds), folds=folds and list(folds))


def mistakes(*arguments: str, **numbers) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(*arguments, **numbers)
    return list(caught.value.args)


def test_a_run_is_named_after_experiment_seed_and_fold(workplace) -> None:
    assert [str(run.folder) for run in plan("one.yml", "two.yml")] == ["runs/one", "runs/two"]
    runs = plan("one.yml", "data.folds=3", "runs_dir=else where", seeds=[7, 0], folds=None)
    assert [run.name for run in runs] == [f"one-seed{seed}-fold{fold}" for seed in (7, 0) for fold in (0, 1, 2)]
    assert runs[1].folder == Path("else where/one-seed7-fold1")
    assert (runs[1].config.seed, runs[1].config.data.fold, runs[1].config.data.folds) == (7, 1, 3)
    for run in runs:
        assert load_config(run.layers) == run.config


def test_runs_are_grouped_in_wandb_unless_the_experiment_says_otherwise(workplace) -> None:
    assert plan("one.yml", "name='1e3'")[0].config.log.wandb.group == "1e3"
    assert plan("one.yml", "log.wandb.group=mine")[0].config.log.wandb.group == "mine"


def test_the_experiment_may_be_the_config_of_the_folder(workplace) -> None:
    assert mistakes() == [
        f"config.yml: is not in this folder ({Path.cwd()}); give an experiment file, like my_experiment.yml"
    ]
    Path("config.yml").write_text(Path("one.yml").read_text())
    assert [run.name for run in plan("seed=3")] == ["one"]
    Path("own.yml").write_text("name: own\n")
    assert [run.name for run in plan("own.yml", "own.yml", seeds=[1])] == ["own-seed1"]


def test_all_mistakes_are_told_before_a_run_is_started(workplace) -> None:
    Path("bad.yml").write_text("name: bad\noptimiser: {lr: 1}\ntrain: {epochs: soon}\n")
    Path("broken.yml").write_text("name: [")
    told = mistakes("one.yml", "bad.yml", "broken.yml", "missing.yml", "", seeds=[0, 1])
    starts = ("bad.yml:2: optimiser", "bad.yml:3: train.epochs", "data", "broken.yml:1", "missing.yml: cannot be", ": ")
    assert all(any(line.startswith(start) for line in told) for start in starts[:2] + starts[3:5]), told
    assert len(told) == len(set(told))
    assert not Path("runs").exists()


def test_two_experiments_of_one_name(workplace) -> None:
    assert mistakes("one.yml", "two.yml", "name=x") == [
        "two.yml: has the same name, x, as one.yml; give each experiment its own name"
    ]


@pytest.mark.parametrize(
    ("arguments", "folds", "message"),
    [
        ([], None, "one.yml: --folds needs data.folds, the number of folds; add data.folds=5 to the command"),
        ([], [0], "one.yml: --folds needs data.folds, the number of folds; add data.folds=5 to the command"),
        (
            ["data.folds=2"],
            [2],
            "command line: data.fold=2: data.fold: 2 is too large; the 2 folds are numbered from 0",
        ),
        (
            ["data.format=csv", "data.classes=[a, b]", "data.val_fold=0"],
            None,
            "one.yml: the folds are those of a table; list them, like --folds 0,1,2",
        ),
    ],
)
def test_folds_that_there_are_not(workplace, arguments, folds, message) -> None:
    assert mistakes("one.yml", *arguments, folds=folds) == [message]


def test_the_folds_of_a_table(workplace) -> None:
    table = ["data.format=csv", "data.classes=[a, b]", "data.val_fold=0"]
    runs = plan("one.yml", *table, folds=[2, 5])
    assert [(run.name, run.config.data.arguments["val_fold"]) for run in runs] == [("one-fold2", 2), ("one-fold5", 5)]


def begin(run: PlannedRun, *, saved: bool = True) -> None:
    """What a training leaves that was stopped, or before it was `saved`."""
    begun = start_run(run.config, folder=run.folder)
    begun.stop.release()
    begun.lock.release()
    if saved:
        (run.folder / "last.pt").touch()


def test_a_run_of_another_configuration_is_not_trained_over(workplace) -> None:
    begin(plan("one.yml", "log.wandb.mode=disabled")[0])
    assert [run.name for run in plan("one.yml", "train.device=cuda:1", "data.workers=3", "log.images=1")] == ["one"]
    assert mistakes("one.yml", "optimizer.lr=0.5") == [
        "runs/one: was trained with optimizer.lr: 0.001, not 0.5; move it elsewhere or give the experiment another name"
    ]
    assert mistakes("one.yml", "loss={DiceLoss: 1}")[0].startswith("runs/one: was trained with loss.CrossEntropyLoss.")
    assert mistakes("one.yml", "optimizer.betas=[0.5, 0.9]")[0].startswith(
        "runs/one: was trained with optimizer.betas: None, not [0.5, 0.9]; "
    )


def test_a_run_that_failed_before_it_saved_anything_may_be_corrected(workplace) -> None:
    begin(plan("one.yml", "optimizer.lr=1e9", "log.wandb.mode=disabled")[0], saved=False)
    assert plan("one.yml", "optimizer.lr=0.1")[0].config.optimizer.lr == 0.1


def test_a_folder_of_something_else(workplace) -> None:
    folder = Path("runs/one")
    folder.mkdir(parents=True)
    (folder / ".lock").touch()  # of a process that was killed at once
    assert len(plan("one.yml")) == 1
    (folder / "thesis.docx").touch()
    assert mistakes("one.yml") == ["runs/one: is not a run folder; it has no config.yml"]
    (folder / "config.yml").write_text("train: [")
    (line,) = mistakes("one.yml")
    assert line.startswith("runs/one/config.yml:1: not valid YAML: ")
