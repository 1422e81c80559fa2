"""Trainings with the options of the data section that change what is read: each to its end."""

import re

import cv2
import numpy as np
import pandas
import pytest
import tifffile
import torch
from PIL import Image

from segtrain.checkpoint import load_checkpoint
from segtrain.commands.predict.job import predict_files
from segtrain.inference.inputs import find_images
from segtrain.inference.predictor import Predictor
from segtrain.metrics import MULTILABEL_DEFINITION
from tests.conftest import SMALL, draw_folders

NAMES = ["sky", "road", "building", "tree", "pole", "car", "person"]


@pytest.fixture
def layers(dataset):
    """The drawn dataset with a 0/255 mask for each of two classes that overlap: masks/low and masks/even."""
    for split in ("train", "val"):
        for path in (dataset / split / "masks").glob("*.png"):
            mask = np.asarray(Image.open(path))
            for name, chosen in (("low", mask < 3), ("even", mask % 2 == 0)):
                target = dataset / split / name / path.name
                target.parent.mkdir(exist_ok=True)
                layer = np.where(chosen & (mask != 255), 255, 0).astype(np.uint8)
                Image.fromarray(layer).save(target)
    return [
        "data.masks={train: 'train/{class}', val: 'val/{class}'}",
        "data.multilabel=true",
        "data.classes=[{name: low, value: 255, color: [200, 30, 30]}, {name: even, value: 255}]",
        "data.ignore_index=254",
        "loss={BCEWithLogitsLoss: 1.0}",
    ]


def test_classes_that_overlap(layers, dataset, fitted, tmp_path, capsys):
    made = fitted(*layers, "loss={BCEWithLogitsLoss: 1.0, DiceLoss: 0.5}", "train.epochs=6", "optimizer.lr=5e-3")
    assert {"val/iou/low", "val/iou/even", "val/miou"} < set(made.table.columns)
    assert made.table["val/miou"].max() > 0.35
    best = load_checkpoint(made.folder / "best.pt")
    assert (best["classes"], best["definition"]) == (["low", "even"], MULTILABEL_DEFINITION)
    made.run.report(made.state)
    assert MULTILABEL_DEFINITION in capsys.readouterr().out
    assert len(list((made.folder / "predictions").iterdir())) == 2 and (made.folder / "confusion.png").is_file()

    predictor = Predictor.load(made.folder)
    predict_files(predictor, find_images([str(dataset / "val/images")], output=tmp_path / "out"), tmp_path / "out")
    image = cv2.cvtColor(cv2.imread(str(dataset / "val/images/000.png")), cv2.COLOR_BGR2RGB)
    prediction = predictor.predict(image)
    assert prediction.shape == (2, 64, 80) and set(np.unique(prediction)) <= {0, 1}
    for index, name in enumerate(["low", "even"]):
        assert (np.asarray(Image.open(tmp_path / f"out/000_{index}_{name}.png")) == 255 * prediction[index]).all()
    assert not (tmp_path / "out/000.png").exists() and (tmp_path / "out/000_overlay.jpg").exists()


def test_a_mask_of_a_class_that_is_missing(layers, dataset, main, capsys):
    (dataset / "train/even/003.png").unlink()
    common = [*SMALL, f"data.root={dataset}", f"runs_dir={dataset / 'runs'}", *layers, "train.epochs=1"]
    assert main(*common) == 2
    assert capsys.readouterr().err == (
        f"data (train): 1 of 8 images have no mask of 'even' in {dataset}/train/even: "
        f"{dataset}/train/images/003.png; if these images do not contain the class, write data.missing_masks: empty\n"
    )
    assert main(*common, "data.missing_masks=empty") == 0


def test_a_mask_for_each_class_needs_multilabel(layers, dataset, main, capsys):
    assert main(f"data.root={dataset}", layers[0]) == 2
    line = f"command line: {layers[0]}: data.masks.train: one mask for each {{class}} needs data.multilabel: true\n"
    assert capsys.readouterr().err == line


def test_images_in_memory_train_to_the_same_weights(fitted, capsys):
    plain = fitted("log.images=0")
    kept = fitted("log.images=0", "data.cache=ram", "data.workers=2")
    assert "memory   about 0 MiB for 12 images and masks (data.cache: ram)\n" in capsys.readouterr().out
    columns = [name for name in plain.table if "second" not in name and "wait" not in name]
    pandas.testing.assert_frame_equal(plain.table[columns], kept.table[columns])


def test_balanced_samples_show_a_rare_class_more_often(tmp_path, prepare):
    root = draw_folders(tmp_path / "rare", train=12, val=2, classes=6)
    path = root / "train/masks/005.png"
    mask = np.asarray(Image.open(path)).copy()
    mask[40:44, 60:64] = 6  # sixteen pixels of one image
    Image.fromarray(mask).save(path)

    def seen(share):
        made = prepare(f"data.root={root}", f"data.balance={share}", "transforms.train.0.RandomCrop.height=32")
        stream, images = made.loaders.train.stream(0, 0), 0
        for _ in range(15):
            images += int((next(stream)["mask"] == 6).any(dim=2).any(dim=1).sum())
        return images

    assert seen(0) <= 6  # of 60 samples
    assert seen(1) >= 6  # a seventh of them are drawn for it, and all of their crops hold it


def test_a_cross_validation(fitted, dataset):
    first, second = (fitted("data.folds=3", f"data.fold={fold}", "train.epochs=1") for fold in (0, 2))
    assert [len(made.loaders.train.dataset) + len(made.loaders.val.dataset) for made in (first, second)] == [12, 12]
    held_out = [{sample.image for sample in made.loaders.val.dataset.samples} for made in (first, second)]
    assert not held_out[0] & held_out[1]


MISTAKES = {
    "data.fold=1": "data.fold: needs data.folds; for the column fold of a table, write val_fold",
    "data.root=[]": "data.root: ",
    "data={format: coco, root: x, classes: [{name: a, colors: [[1, 2, 3]]}, b]}": (
        "data.classes.0: colors have no effect in annotations, which contain names; write labels"
    ),
    "data={root: x, multilabel: true, classes: [{name: a, colors: [[1, 2, 3]]}, b]}": (
        "data.classes.0: colors have no effect when each class has its own mask; write a value"
    ),
    "data={root: x, multilabel: true, classes: [a, b], ignore_index: 2}": (
        "data.ignore_index: 2 must be above 2, the number of classes, and at most 255"
    ),
    "data.fold=3 data.folds=3": "data.fold: 3 is too large; the 3 folds are numbered from 0",
    "data.bands=[1,2]": "data.bands: lists 2 bands, but data.channels is 3; change one of them",
    "data.group_pattern=(": "data.group_pattern: is not a valid regular expression: ..",
    "data={format: coco, root: x, classes: [a, b], multilabel: true}": (
        "data.multilabel: format coco has one mask for all classes; remove it"
    ),
    "data.balance=2": "data.balance: should be less than or equal to 1, not 2",
    "data.cache=disk": "data.cache: 'disk' is not one of ram",
}


@pytest.mark.parametrize("layers", MISTAKES)
def test_options_that_contradict(layers, main, capsys):
    assert main(*layers.replace(" data", "\ndata").splitlines()) == 2
    assert MISTAKES[layers].rstrip(".") in capsys.readouterr().err


def test_images_of_four_bands_and_twelve_bits(dataset, tmp_path, fitted):
    root = tmp_path / "aerial"
    for split in ("train", "val"):
        for path in (dataset / split / "images").glob("*.png"):
            image = np.asarray(Image.open(path)).astype(np.uint16) * 16
            bands = np.concatenate([image, image[..., :1] // 2], axis=2)
            for kind, array in (
                ("images", bands),
                ("masks", np.asarray(Image.open(dataset / split / "masks" / path.name))),
            ):
                target = root / split / kind / f"{path.stem}.tif"
                target.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(target, array)
    layers = [f"data={{format: geotiff, root: {root}, channels: 4, scale: 4080}}", "model.mean=[0.3, 0.3, 0.3, 0.2]"]
    layers += [f"data.{kind}={{train: train/{kind}, val: val/{kind}}}" for kind in ("images", "masks")]
    layers += ["model.std=[0.3, 0.3, 0.3, 0.2]", f"data.classes=[{', '.join(NAMES)}]"]
    made = fitted(*layers)
    batch = next(made.loaders.train.stream(0, 0))
    assert batch["image"].shape == (4, 4, 64, 64) and batch["image"].dtype == torch.float32
    first = Image.open(dataset / "val/images/000.png")
    whole = next(iter(made.loaders.val))[0]["image"][0]
    assert np.allclose(whole[:3].permute(1, 2, 0).numpy(), np.asarray(first), atol=1e-3)  # in 0..255, like any image
    predictor = Predictor.load(made.folder)
    out = tmp_path / "out"
    predict_files(predictor, find_images([str(root / "val/images")], output=out), out)
    assert np.asarray(Image.open(out / "000.png")).shape == (64, 80)
    assert np.asarray(Image.open(out / "000_overlay.jpg")).shape == (64, 80, 3)


def test_eight_bits_among_sixteen_are_refused(dataset, main, tmp_path, capsys):
    layers = [*SMALL, f"data.root={dataset}", f"runs_dir={tmp_path}", "data.scale=65535", "train.epochs=1"]
    assert main(*layers) == 2
    line = capsys.readouterr().err
    assert re.fullmatch(r".+\.png: has 8 bits, but data.scale is 65535; all images must have the same type\n", line)


def test_a_loss_that_knows_no_overlap_is_told_before_masks_are_read(layers, dataset, main, capsys):
    (dataset / "train/even/003.png").write_bytes(b"broken")
    assert main(*SMALL, f"data.root={dataset}", *layers[:-1], "loss={CrossEntropyLoss: 1}") == 2
    assert capsys.readouterr().err == (
        "loss.CrossEntropyLoss: no mode 'multilabel'; it has: multiclass; classes overlap: use BCEWithLogitsLoss\n"
    )
