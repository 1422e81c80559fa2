import numpy as np
import pytest
from PIL import Image

from segtrain.config.schema import DataConfig
from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from tests.conftest import draw_folders

NAMES = [f"c{index}" for index in range(7)]


def names(splits):
    return {split: [sample.name for sample in samples] for split, samples in splits.items()}


def split(root, seed=0, **values):
    return read_splits(DataConfig(root=root, **{"classes": NAMES} | values), seed=seed)


def error_of(root, **values):
    with pytest.raises(DataError) as error:
        split(root, **values)
    return str(error.value)


def test_several_roots_are_read_one_behind_the_other(tmp_path):
    draw_folders(tmp_path / "a", train=2, val=1)
    draw_folders(tmp_path / "b", train=1, val=1)
    draw_folders(tmp_path / "x" / "a", train=1, val=1)
    both = names(split([tmp_path / "a", tmp_path / "b"]))
    assert both == {"train": ["a/000", "a/001", "b/000"], "val": ["a/000", "b/000"]}
    assert names(split([tmp_path / "a", tmp_path / "x/a"]))["val"] == ["0/000", "1/000"]  # one name: they are numbered


def test_splits_by_name(tmp_path):
    draw_folders(tmp_path, train=2, val=2)
    folders = {"train": "train", "val": "val", "test": "val"}
    keys = {key: {name: f"{folder}/{key}" for name, folder in folders.items()} for key in ("images", "masks")}
    assert names(split(tmp_path, **keys)) == {"test": ["000", "001"], "train": ["000", "001"], "val": ["000", "001"]}
    assert split(tmp_path, val_split="test", **keys)["val"][0].image == str(tmp_path / "val/images/000.png")
    assert error_of(tmp_path, val_split="final", **keys) == (
        f"data: the final split is empty; {tmp_path} read as format folders contains: train (2), val (2), test (2)"
    )
    assert error_of(tmp_path, train_split="test", **keys) == (
        "data: 2 image(s) are in both the training and the validation split, for example "
        f"'{tmp_path}/val/images/000.png'; the score would be on images that were trained on"
    )


def test_a_test_split_that_is_trained_on_is_refused(tmp_path):
    draw_folders(tmp_path, train=2, val=2)
    folders = {"train": "train", "val": "val", "test": "train"}
    keys = {key: {name: f"{folder}/{key}" for name, folder in folders.items()} for key in ("images", "masks")}
    assert error_of(tmp_path, **keys).startswith("data: 2 image(s) are in both the training and the test split, ")


def test_folds_part_train_and_val_anew(tmp_path):
    draw_folders(tmp_path, train=8, val=4)
    every = [sample.image for fold in range(4) for sample in split(tmp_path, folds=4, fold=fold)["val"]]
    assert len(every) == 12 and len(set(every)) == 12
    for fold in range(4):
        splits = split(tmp_path, folds=4, fold=fold)
        assert 2 <= len(splits["val"]) <= 4 and len(splits["train"]) == 12 - len(splits["val"])
        assert not {sample.image for sample in splits["val"]} & {sample.image for sample in splits["train"]}


def test_without_a_validation_split(tmp_path):
    draw_folders(tmp_path, train=8, val=2)
    keys = {key: {"train": f"train/{key}", "test": f"val/{key}"} for key in ("images", "masks")}
    assert error_of(tmp_path, **keys) == (
        f"data: the val split is empty; {tmp_path} read as format folders contains: train (8), test (2); "
        "write data.val_fraction: 0.2 to hold out a share of train"
    )
    assert [len(samples) for samples in split(tmp_path, val_fraction=0.25, **keys).values()] == [2, 6, 2]
    found = [names(split(tmp_path, folds=4, fold=fold, **keys)) for fold in range(4)]
    assert sorted(name for splits in found for name in splits["val"]) == [f"{index:03d}" for index in range(8)]
    assert {(len(splits["train"]), len(splits["val"]), len(splits["test"])) for splits in found} == {(6, 2, 2)}
    assert error_of(tmp_path, folds=4, val_split="final", **keys).startswith("data: the final split is empty; ")
    files = {"train": "train.txt", "test": "test.txt"}
    for part, count, name in (("train", 8, "train"), ("val", 2, "test")):
        rows = [f"{part}/images/{index:03d}.png {part}/masks/{index:03d}.png" for index in range(count)]
        (tmp_path / f"{name}.txt").write_text("\n".join(rows))
        table = [f"{row.replace(' ', ',')},{name}" for row in rows]
        with (tmp_path / "data.csv").open("a") as file:
            file.write("\n".join([*(["image,mask,split"] if name == "train" else []), *table, ""]))
    for keys in ({"format": "list", "files": files}, {"format": "csv"}):
        assert error_of(tmp_path, **keys).endswith("to hold out a share of train")
        for more in ({"val_fraction": 0.25}, {"folds": 4}):
            sizes = {name: len(samples) for name, samples in split(tmp_path, **keys, **more).items()}
            assert sizes == {"train": 6, "val": 2, "test": 2}


def test_a_split_asked_for_by_another_usual_word(tmp_path):
    draw_folders(tmp_path, train=2, val=1)
    rows = [
        f"{part}/images/000.png,{part}/masks/000.png,{word}" for part, word in (("train", "Train"), ("val", "valid"))
    ]
    (tmp_path / "data.csv").write_text("\n".join(["image,mask,split", *rows]))
    for words in ({}, {"train_split": "Train", "val_split": "valid"}, {"val_split": "dev"}):
        splits = split(tmp_path, format="csv", **words)
        assert (len(splits["train"]), len(splits["val"])) == (1, 1)


def test_a_rare_class_is_in_every_fold(tmp_path):
    for index in range(12):
        for kind in ("i", "m"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(np.full((4, 4), int(index < 3), np.uint8)).save(tmp_path / kind / f"{index:02d}.png")
    for seed in range(4):
        for fold in range(3):
            found = names(split(tmp_path, seed, images="i", masks="m", classes=["a", "rare"], folds=3, fold=fold))
            assert len(found["val"]) == 4 and sum(name < "03" for name in found["val"]) == 1


def test_groups_by_name(tmp_path):
    draw_folders(tmp_path, train=6, val=0)
    draw_folders(tmp_path, train=0, val=6)
    keys = {"folds": 2, "group_pattern": r"^\d\d(\d)"}  # frame 3 of train and frame 3 of val are one
    splits = split(tmp_path, **keys)
    groups = {key: {sample.group for sample in samples} for key, samples in splits.items()}
    assert all(name.startswith(("train/00", "val/00")) for name in names(splits)["val"])  # each name is there once
    assert groups["train"] | groups["val"] == set("012345") and not groups["train"] & groups["val"]
    assert error_of(tmp_path, group_pattern="drive") == (
        f"data.group_pattern: drive does not match the name 000 of {tmp_path}/train/images/000.png"
    )


def test_a_table_s_groups_stay_together(tmp_path):
    draw_folders(tmp_path, train=8, val=0)
    rows = [f"train/images/{n:03d}.png,train/masks/{n:03d}.png,p{n // 2}" for n in range(8)]
    (tmp_path / "data.csv").write_text("image,mask,patient\n" + "\n".join(rows) + "\n")
    for extra in ({"folds": 4, "fold": 1}, {"val_fraction": 0.25}):
        splits = split(tmp_path, format="csv", group_column="patient", **extra)
        patients = {key: {sample.group for sample in samples} for key, samples in splits.items()}
        assert len(patients["val"]) == 1 and len(patients["train"]) == 3 and not patients["val"] & patients["train"]
    assert error_of(tmp_path, format="csv", group_column="patent") == (
        f"{tmp_path}/data.csv: no column 'patent'; it has: image, mask, patient"
    )


def test_what_is_in_both_splits_is_refused_before_folds_are_made(tmp_path):
    draw_folders(tmp_path, train=3, val=3)
    (tmp_path / "train.txt").write_text(
        "".join(f"train/images/{n:03d}.png train/masks/{n:03d}.png\n" for n in range(3))
    )
    (tmp_path / "val.txt").write_text("./train/images/001.png train/masks/001.png\n")
    for more in ({}, {"folds": 2}):
        text = error_of(tmp_path, format="list", files={"train": "train.txt", "val": "val.txt"}, **more)
        assert text.startswith("data: 1 image(s) are in both the training and the validation split")
    assert error_of([tmp_path, f"{tmp_path}/."]).startswith("data.root: contains the same folder twice")


def test_a_group_on_both_sides_is_refused(tmp_path):
    draw_folders(tmp_path, train=4, val=2)
    text = error_of(tmp_path, group_pattern=r"\d")
    assert text == (
        "data: 1 group(s) are in both the training and the validation split, for example '0'; correct the splits, or "
        "write data.folds: 5, which keeps groups together"
    )
    assert error_of(tmp_path, group_pattern="x*").startswith("data.group_pattern: x* does not match the name 000")


def test_images_of_one_name_in_both_splits_are_two(tmp_path):
    draw_folders(tmp_path, train=4, val=4)
    found = [name for fold in range(5) for name in names(split(tmp_path, folds=5, fold=fold))["val"]]
    assert sorted(found) == sorted(f"{part}/{index:03d}" for part in ("train", "val") for index in range(4))
