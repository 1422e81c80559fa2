"""Classes that are missing, rare, alone in a mask, ignored or exchanged, planted in a clean set."""

import numpy as np

from tests.commands.check.check_sets import (
    NAMES,
    change,
    class_lines,
    discs,
    lines,
    look,
    read,
    run_fix,
    set_aside,
    shown,
    write,
)
from tests.conftest import PROJECT, draw_sample


def test_classes_that_a_split_lacks(root):
    change(root, lambda mask: np.where(mask == 2, 1, mask), splits=["val"])
    (found,) = look(root)
    assert shown([found]) == [("warning", "The val split has no pixel of car")]
    assert lines(found) == ["data:", "  folds: 5"]
    assert len(found.files) == 8
    assert look(root, "data.folds=5") == []
    for split in ("train", "val"):
        (root / split).rename(root / f"{split}-")
    (root / "train-").rename(root / "val")
    (root / "val-").rename(root / "train")
    assert ("error", "The train split has no pixel of car") in shown(look(root))


def test_a_class_that_occurs_nowhere(root):
    (found,) = look(root, "data.classes=[sky, road, car, pole]")
    assert shown([found]) == [("warning", "No mask has a pixel of pole")]
    assert class_lines(found) == [
        *(f"{{name: {name}, value: {value}}}" for value, name in enumerate(NAMES)),
    ]


def test_a_class_with_a_handful_of_pixels(root):
    path = root / "train/masks/003.png"
    mask = read(path)
    mask[20, 20:24] = 3
    write(path, mask)
    (found,) = look(root, "data.classes=[sky, road, car, pole]")
    assert shown([found]) == [("warning", "pole: almost no pixels, in 1 mask")]
    assert lines(found)[-1] == "  ignore_values: [3]" and found.files == [str(path)]
    assert [line for line in lines(found) if "pole" in line] == []


WITH_LOSS = ["loss:", "CrossEntropyLoss: 1.0", "DiceLoss: 1.0"]  # for several classes, where the loss was for one


def test_empty_masks(root):
    change(root, np.zeros_like, splits=["train"], names="003.png")
    change(root, lambda mask: np.full_like(mask, 255), splits=["train"], names="004.png")
    ignored, alone = look(root)
    assert shown([ignored, alone]) == [
        ("warning", "1 mask is ignored by 95 % or more"),
        ("warning", "1 mask is of a single class"),
    ]
    assert ignored.files == [f"{root}/train/masks/004.png"] and alone.files == [f"{root}/train/masks/003.png"]
    assert alone.explanation.startswith("All pixels are sky, while other masks contain more classes")
    run_fix(ignored)
    run_fix(alone)
    assert look(root) == []


def test_an_inverted_mask(root):
    """A disc of 1 in the others; in one its surroundings, which have their colors still."""
    discs(root)
    change(root, lambda mask: np.minimum(mask, 1))
    path = root / "train/masks/003.png"
    plain = read(path)
    write(path, 1 - plain)
    (found,) = look(root, "data.classes=[disc]", "loss={BCEWithLogitsLoss: 1.0}")
    assert shown([found]) == [("warning", "1 mask is most likely inverted")]
    assert found.files == [str(path)]
    run_fix(found)
    assert np.array_equal(read(path), plain)
    assert look(root, "data.classes=[disc]", "loss={BCEWithLogitsLoss: 1.0}") == []


def test_a_set_whose_object_is_0(root):
    discs(root)
    change(root, lambda mask: np.where(mask == 1, 0, 255))
    (found,) = look(root, "data.classes=[{name: disc, value: 255}]", "loss={BCEWithLogitsLoss: 1.0}")
    assert shown([found]) == [("note", "'disc' surrounds the background")]
    assert class_lines(found) == [
        "{name: background, value: 255}",
        "{name: disc, value: 0}",
        *WITH_LOSS,
    ]


def test_much_that_is_ignored(root):
    change(root, lambda mask: np.where(np.arange(64)[:, None] < 32, 255, mask))
    (found,) = look(root)
    assert shown([found]) == [("warning", "50.0 % of the pixels are ignored: 255 fills areas")]
    assert class_lines(found) == [
        *(f"{{name: {name}, value: {value}}}" for value, name in enumerate(NAMES)),
        "{name: class_255, value: 255}",
    ]


def test_rare_classes_ask_for_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    root = tmp_path / "street"
    for split, count in (("train", 8), ("val", 4)):
        for index in range(count):
            draw_sample(root / split, f"{index:03d}", seed=index + 50 * (split == "val"), classes=2)
    change(root, lambda mask: np.where(np.add.outer(np.arange(64), np.arange(80)) < 7, 2, mask))
    (found,) = look(root)
    assert shown([found]) == [("note", "1 class below 1 % of the pixels")]
    written = ["loss:", "  CrossEntropyLoss: {coef: 1.0, class_weights: enet}", "  DiceLoss: 1.0"]
    assert lines(found) == written
    assert look(root, "loss={CrossEntropyLoss: {coef: 1.0, class_weights: enet}, DiceLoss: 1.0}") == []
    change(root, lambda mask: np.where(mask == 2, 1, 0))
    (found,) = look(root, "data.classes=[speck]", "loss={BCEWithLogitsLoss: 1.0}")
    assert lines(found)[0] == "loss:" and lines(found)[2] == "  DiceLoss: 1.0"
    assert lines(found)[1].startswith("  BCEWithLogitsLoss: {coef: 1.0, pos_weight: ")


LAYERS = [
    'data.masks={train: "train/{class}", val: "val/{class}"}',
    "data.multilabel=true",
    "loss={BCEWithLogitsLoss: 1.0}",
]


def test_a_mask_for_each_class(root):
    for path in sorted(root.glob("*/masks/*.png")):
        for value, name in enumerate(NAMES):
            folder = path.parent.parent / name
            folder.mkdir(exist_ok=True)
            write(folder / path.name, read(path) == value)
    assert look(root, *LAYERS) == []
    write(root / "train/road/003.png", np.full((64, 80), 7))
    for path in (root / "val/car").iterdir():
        write(path, np.zeros((64, 80)))
    file, missing = look(root, *LAYERS)
    assert shown([file, missing]) == [
        ("error", "1 file cannot be read"),
        ("warning", "The val split has no pixel of car"),
    ]
    assert set_aside(file) == (
        "set-aside-unreadable",
        [root / "train" / kind / "003.png" for kind in ("images", *NAMES)],
    )
