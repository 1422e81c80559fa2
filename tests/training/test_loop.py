"""Training in this process, on a drawn set of a few images."""

import re
from functools import partial

import numpy as np
import pandas
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from segtrain.checkpoint import load_checkpoint
from segtrain.errors import ConfigError
from segtrain.images.reading import read_image, read_mask
from segtrain.inference.predictor import Predictor
from segtrain.training.loop import fit, train_step
from tests.conftest import draw_folders, draw_sample

# A network without BatchNorm in use, whose rate is so small that no weight ever changes: every epoch scores the same.
STANDSTILL = ["optimizer.lr=1e-30", "schedule=null", "model.freeze=encoder", "model.decoder_use_norm=false"]


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def random_batch(count: int, *, seed: int = 0) -> dict:
    """Random images of 64 x 64 pixels with masks of which no pixel is ignored."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator)
    mask = torch.randint(0, 7, (count, 64, 64), dtype=torch.uint8, generator=generator)
    return {"image": images, "mask": mask, "name": [str(index) for index in range(count)]}


def part_of(batch: dict, first: int, last: int) -> dict:
    return {key: value[first:last] for key, value in batch.items()}


def test_overfits_eight_images(fitted):
    made = fitted(
        "data.val_split=train",
        "transforms.train=[]",
        "data.batch_size=8",
        "optimizer.lr=2e-2",
        "train.epochs=40",
        "train.eval_every_epochs=40",
    )
    assert made.state.best.score > 0.95
    assert made.table["train/loss"].iloc[-1] < 0.1 * made.table["train/loss"].iloc[0]


def test_the_seed_decides_the_weights_and_the_workers_do_not(fitted):
    first, second = fitted("train.epochs=1"), fitted("train.epochs=1", "data.workers=2")
    assert_same_weights(first.state.model.state_dict(), second.state.model.state_dict())
    assert first.table["train/loss"].equals(second.table["train/loss"])
    other = fitted("train.epochs=1", "seed=1")
    name = "net.segmentation_head.0.weight"
    assert not torch.equal(first.state.model.state_dict()[name], other.state.model.state_dict()[name])


@pytest.mark.parametrize(
    "term",
    [
        "CrossEntropyLoss: 1",
        "CrossEntropyLoss: {class_weights: [1, 2, 3, 4, 5, 6, 7], label_smoothing: 0.1}",
        "FocalLoss: {class_weights: [7, 6, 5, 4, 3, 2, 1]}",
    ],
)
@pytest.mark.parametrize("ignored", ["none", "most of the first image", "the second half"])
def test_parts_of_a_batch_step_like_the_whole(prepare, term, ignored):
    batch, values, weights = random_batch(8), [], []
    batch["mask"][{"none": slice(0), "most of the first image": 0, "the second half": slice(4, 8)}[ignored], 5:] = 255
    for parts in ([(0, 8)], [(0, 4), (4, 8)], [(0, 1), (1, 6), (6, 8)]):
        exact = ["train.precision=fp32", "schedule=null"]
        made = prepare(f"loss={{{term}}}", "optimizer={name: SGD, lr: 0.1}", *exact)
        made.state.model.eval()  # in training BatchNorm would see another batch
        start = made.state.model.net.segmentation_head[0].weight.detach().clone()
        found = train_step(made.state, [part_of(batch, *part) for part in parts], made.loss, made.config.train)
        values.append(sum(total for total, _ in found).detach() / len(parts))
        weights.append(made.state.model.net.segmentation_head[0].weight.detach())
        assert (weights[-1] - start).abs().max() > 1e-4
    for value, weight in zip(values[1:], weights[1:], strict=True):
        torch.testing.assert_close(value, values[0], rtol=1e-5, atol=0)
        torch.testing.assert_close(weight, weights[0], rtol=1e-4, atol=1e-6)


def test_the_last_update_of_an_epoch_takes_the_mean_of_what_is_left(fitted):
    """2 batches in an epoch: asked for 8 to an update, the one update takes 2, and is no weaker for it."""
    arguments = ["train.epochs=1", "optimizer={name: SGD, lr: 0.1, weight_decay: 0}", "train.precision=fp32"]
    two, eight = fitted(*arguments, "train.accumulate_steps=2"), fitted(*arguments, "train.accumulate_steps=8")
    assert two.state.total_steps == eight.state.total_steps == 2
    assert_same_weights(two.state.model.state_dict(), eight.state.model.state_dict())


def test_the_rate_falls_to_the_end(fitted):
    """6 epochs of 2 batches that share an update: 6 updates, of which OneCycle rises for 0.2 * 6 - 1 and then falls."""
    rates = fitted("train.epochs=6", "train.eval_every_epochs=6", "train.accumulate_steps=2").table["lr"]
    assert rates.is_monotonic_decreasing and rates.iloc[0] > 1.5e-3 and rates.iloc[-1] < 1e-7


def test_clip_norm_bounds_the_step(prepare):
    moved = {}
    for clip in ("null", "0.01"):
        arguments = ["optimizer={name: SGD, lr: 1, weight_decay: 0}", "schedule=null", "train.precision=fp32"]
        made = prepare(*arguments, f"train.clip_norm={clip}")
        before = [parameter.detach().clone() for parameter in made.state.model.parameters()]
        train_step(made.state, [random_batch(4)], made.loss, made.config.train)
        after = list(made.state.model.parameters())
        moved[clip] = float(nn.utils.get_total_norm([b.detach() - a for a, b in zip(before, after, strict=True)]))
    assert moved["null"] > 0.1
    assert moved["0.01"] == pytest.approx(0.01, rel=1e-3)


def test_a_term_joins_in_with_its_epoch(fitted):
    table = fitted("loss={CrossEntropyLoss: 2.0, DiceLoss: {coef: 0.5, from_epoch: 1}}").table
    dice, entropy = table["train/loss/DiceLoss"], table["train/loss/CrossEntropyLoss"]
    assert np.isnan(dice[0]) and dice[1] > 0
    assert table["train/loss"][0] == pytest.approx(2 * entropy[0], rel=1e-6)
    assert table["train/loss"][1] == pytest.approx(2 * entropy[1] + 0.5 * dice[1], rel=1e-6)


def test_what_is_evaluated_when_and_what_chooses_the_best(fitted):
    made = fitted("train.epochs=3", "train.eval_every_epochs=2", "train.eval_train=true", "train.monitor=iou/road")
    assert made.table["epoch"].tolist() == [1, 2, 3] and made.table["step"].tolist() == [2, 4, 6]
    for column in ("val/miou", "val/iou/road", "val/loss", "train/miou", "train/iou/road"):
        assert made.table[column].notna().tolist() == [False, True, True], column
    best = load_checkpoint(made.folder / "best.pt")
    scores = made.table.set_index("epoch")["val/iou/road"]
    assert (best["monitor"], best["epoch"], best["score"]) == ("iou/road", scores.idxmax(), scores.max())
    assert best["metrics"]["val/miou"] == made.table["val/miou"][best["epoch"] - 1]


def test_the_lowest_loss_chooses_the_best_where_asked(fitted):
    made = fitted("train.epochs=3", "train.monitor=min loss", "train.patience=2")
    best, losses = load_checkpoint(made.folder / "best.pt"), made.table.set_index("epoch")["val/loss"]
    assert (best["monitor"], best["epoch"], best["score"]) == ("min loss", losses.idxmin(), losses.min())
    assert fitted(*STANDSTILL, "train.epochs=9", "train.monitor=min loss", "train.patience=2").state.epoch == 3


def test_a_loss_without_a_value_in_validation(fitted):
    """MaskMatchingLoss takes the queries, which a network gives in training alone."""
    settings = ("model.name=EoMT", "model.encoder_name=tu-test_vit", "model.decoder_channels=null", "model.aux=1")
    terms = ("loss.CrossEntropyLoss=null", "loss.DiceLoss=null", "loss.LovaszLoss=null", "loss.MaskMatchingLoss=1")
    made = fitted(*settings, *terms, "train.epochs=1")
    assert made.table["train/loss/MaskMatchingLoss"].notna().all() and made.table["val/miou"].notna().all()
    assert made.table["val/loss"].isna().all()
    with pytest.raises(ConfigError) as error:
        fitted(*settings, *terms, "train.epochs=1", "train.monitor=min loss")
    expected = "train.monitor: min loss: MaskMatchingLoss has no value in validation; write miou or add another term"
    assert str(error.value) == expected


def test_the_encoder_rests_in_the_first_epochs(prepare):
    made = prepare("train.epochs=3", "train.freeze_encoder_epochs=2", "train.eval_every_epochs=3")
    before = {name: tensor.clone() for name, tensor in made.state.model.encoder.state_dict().items()}
    resting = []
    save_last = made.run.save_last

    def save(state):
        now = state.model.encoder.state_dict()
        resting.append(all(torch.equal(now[name], tensor) for name, tensor in before.items()))
        save_last(state)

    made.run.save_last = save
    head = made.state.model.net.segmentation_head[0].weight.detach().clone()
    fit(made.state, made.loaders, made.loss, made.config.train, made.run)
    assert resting == [True, True, False]  # BatchNorm's means too
    assert not torch.equal(made.state.model.net.segmentation_head[0].weight, head)


def test_weights_of_epochs_are_kept_where_asked(fitted):
    made = fitted("train.epochs=4", "train.save_every_epochs=2", "train.eval_every_epochs=4")
    assert sorted(path.name for path in made.folder.glob("epoch-*.pt")) == ["epoch-2.pt", "epoch-4.pt"]
    second, fourth = (load_checkpoint(made.folder / f"epoch-{number}.pt") for number in (2, 4))
    assert (second["epoch"], second["metrics"], fourth["epoch"]) == (2, {}, 4)
    assert fourth["score"] == made.table["val/miou"].iloc[-1]
    assert_same_weights(fourth["model"], load_checkpoint(made.folder / "last.pt")["model"])
    assert Predictor.load(made.folder / "epoch-2.pt", device="cpu").task.names == made.config.data.class_names


@pytest.mark.parametrize(("steps", "epochs"), [(3, 2), (4, 2), (1, 1)])
def test_a_training_ends_with_its_steps_and_is_evaluated(fitted, capsys, steps, epochs):
    made = fitted("train.epochs=9", f"train.max_steps={steps}", "train.eval_every_epochs=5")
    assert made.table["step"].iloc[-1] == steps and len(made.table) == epochs
    assert made.table["val/miou"].notna().tolist() == [False] * (epochs - 1) + [True]
    assert made.table["lr"].iloc[-1] < 1e-5  # the schedule ends there too
    assert capsys.readouterr().out.endswith(f"stopping early: {steps} steps are complete\n")
    fitted(resume=made.folder)
    text = f"nothing is left to train: {steps} steps are complete; to continue, raise train.max_steps\n"
    assert capsys.readouterr().out.endswith(text)


def test_hours_count_before_and_after_a_resume(fitted, capsys):
    made = fitted("train.epochs=9", "train.max_hours=1e-9")
    assert made.table["step"].tolist() == [1] and made.table["val/miou"].notna().all()
    assert capsys.readouterr().out.endswith("stopping early: 1e-09 hours have passed\n")
    saved = load_checkpoint(made.folder / "last.pt")["seconds"]
    again = fitted("train.epochs=2", "train.max_hours=1", resume=made.folder)
    assert 0 < saved < again.state.seconds < 3600 and again.state.epoch == 2


def test_the_moving_average_is_what_is_evaluated_and_kept(prepare):
    """With timm's warm-up the decay of update n is min(0.5, 1 - n ** (-2 / 3)): 0, 0, 0.370, 0.5 and 0.5."""
    made = prepare("train.ema_decay=0.5", "train.epochs=1", "schedule=null")
    name = "net.segmentation_head.0.weight"
    average = None
    for seed, decay in enumerate((0, 0, 1 - 2 ** (-2 / 3), 0.5, 0.5)):
        train_step(made.state, [random_batch(4, seed=seed)], made.loss, made.config.train)
        made.state.step += 1
        weight = made.state.model.state_dict()[name]
        average = weight.clone() if average is None else decay * average + (1 - decay) * weight
    torch.testing.assert_close(made.state.ema.module.state_dict()[name], average)

    fit(made.state, made.loaders, made.loss, made.config.train, made.run)
    best, last = load_checkpoint(made.folder / "best.pt"), load_checkpoint(made.folder / "last.pt")
    assert_same_weights(best["model"], made.state.ema.module.state_dict())
    assert_same_weights(last["ema"], best["model"])
    assert not torch.equal(last["model"][name], best["model"][name])


def test_stops_early_and_says_so_when_resumed(fitted, capsys):
    made = fitted(*STANDSTILL, "train.epochs=9", "train.patience=2")
    assert made.table["val/miou"].nunique() == 1
    assert (len(made.table), made.state.best.epoch) == (3, 1)
    assert capsys.readouterr().out.endswith("stopping early: no improvement of miou in 2 evaluations\n")
    saved = (made.folder / "last.pt").read_bytes()

    fitted(resume=made.folder)
    line = "nothing is left to train: no improvement of miou in 2 evaluations; to continue, raise train.patience\n"
    assert capsys.readouterr().out.endswith(line)
    assert (made.folder / "last.pt").read_bytes() == saved
    assert fitted("train.patience=3", resume=made.folder).state.epoch == 4


def test_reduce_on_plateau_follows_the_score(fitted):
    made = fitted(*STANDSTILL, "schedule={name: ReduceLROnPlateau, patience: 0, factor: 0.1, eps: 0}", "train.epochs=4")
    assert made.table["lr"].tolist() == pytest.approx([1e-30, 1e-30, 1e-31, 1e-32], rel=1e-6)


def test_a_compiled_model_trains_the_same_weights(fitted, monkeypatch):
    plain = fitted("train.epochs=1", "train.precision=fp32")
    # The compiler's own backend needs a C++ compiler and a minute; what is traced is the same.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    compiled = fitted("train.epochs=1", "train.precision=fp32", "train.compile=true")
    assert compiled.state.callable is not compiled.state.model
    for name, tensor in plain.state.model.state_dict().items():
        torch.testing.assert_close(compiled.state.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_fp16_trains_on_the_cpu(fitted):
    made = fitted("train.precision=fp16")
    assert made.state.dtype == torch.float16 and made.table["train/loss"].notna().all()


@pytest.mark.parametrize("val", ["[]", "[{Resize: {height: 64, width: 96}}]"])
def test_validation_scores_are_those_of_the_predictions_at_original_size(fitted, dataset, val):
    for place, (height, width) in enumerate([(50, 70), (96, 64), (64, 80)]):
        draw_sample(dataset / "val", f"other{place}", seed=50 + place, height=height, width=width, classes=7)
    made = fitted(f"transforms.val={val}", "train.precision=fp32", "optimizer.lr=2e-2")
    predictor = Predictor.load(made.folder, device="cpu")
    truth, predicted = [], []
    for path in sorted((dataset / "val" / "images").iterdir()):
        mask = read_mask(dataset / "val" / "masks" / path.name, as_color=False)
        prediction = predictor.predict(read_image(path))
        assert prediction.shape == mask.shape
        truth.append(mask[mask != 255])
        predicted.append(prediction[mask != 255])
    truth, predicted = np.concatenate(truth), np.concatenate(predicted)
    occurring = np.union1d(truth, predicted)
    expected = jaccard_score(truth, predicted, labels=occurring, average="macro")
    best = made.state.best
    assert best.metrics["val/miou"] == pytest.approx(expected, abs=1e-3)  # of a batch, and image by image
    matrix = confusion_matrix(truth, predicted, labels=range(7))
    assert np.abs(np.array(best.matrix) - matrix).sum() <= 1e-3 * len(truth)


def test_new_settings_count_when_a_run_is_resumed(fitted, prepare):
    """4 of 12 steps of OneCycle with another peak: the rate is that of the new course at its fifth step."""
    made = fitted("train.epochs=2", "train.ema_decay=0.9")
    resumed = prepare("train.epochs=6", "optimizer.lr=1e-3", resume=made.folder)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1e-3)
    course = OneCycleLR(optimizer, max_lr=1e-3, total_steps=12, pct_start=0.2)
    for _ in range(4):
        optimizer.step()
        course.step()
    assert [group["lr"] for group in resumed.state.optimizer.param_groups] == course.get_last_lr() * 4
    moments = [entry["exp_avg"] for entry in resumed.state.optimizer.state.values()]
    assert any(moment.abs().max() > 0 for moment in moments)
    assert_same_weights(resumed.state.ema.module.state_dict(), made.state.ema.module.state_dict())

    fit(resumed.state, resumed.loaders, resumed.loss, resumed.config.train, resumed.run)
    assert pandas.read_csv(made.folder / "metrics.csv")["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    text = (made.folder / "config.yml").read_text()
    assert re.search(r"^  epochs: 6$", text, re.M) and re.search(r"^  lr: 0\.001$", text, re.M)


def test_a_single_class_is_trained_as_binary(fitted, tmp_path):
    draw_folders(tmp_path / "two", train=4, val=2, classes=2)
    one_class = ["data.classes=[{name: thing, value: 1}]", "loss={BCEWithLogitsLoss: 1.0, DiceLoss: 1.0}"]
    made = fitted(f"data.root={tmp_path / 'two'}", *one_class, "train.epochs=1")
    assert made.state.best.metrics.keys() >= {"val/iou/background", "val/iou/thing"}
    assert set(np.unique(Predictor.load(made.folder).predict(np.zeros((40, 50, 3), np.uint8)))) <= {0, 1}
