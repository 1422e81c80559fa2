"""Hugging Face datasets, made by the library itself."""

import json

import numpy as np
import pytest
from PIL import Image

from segtrain.config.rules import load_config
from tests.formats.format_reading import decoded, reader
from tests.formats.format_trees import error_of

datasets = pytest.importorskip("datasets")
CLASSES = ["sky", "road"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Nothing is fetched, and what the library keeps is kept for one test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def table(*numbers: int, **columns):
    """Rows whose mask is class N % 2."""
    pictures = {
        "image": [Image.fromarray(np.full((1, 2, 3), 90, np.uint8)) for _ in numbers],
        "annotation": [Image.fromarray(np.array([[number % 2, 255]], np.uint8)) for number in numbers],
    }
    features = {name: datasets.Image() for name in pictures} | {key: feature for key, (feature, _) in columns.items()}
    values = pictures | {key: value for key, (_, value) in columns.items()}
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


def test_parquet_and_saved_data_sets_are_read(tmp_path):
    splits = datasets.DatasetDict({"train": table(0, 1, 2), "validation": table(3)})
    for name, split in splits.items():
        split.to_parquet(tmp_path / "parquet" / f"{name}-00000-of-00001.parquet")
    splits.save_to_disk(tmp_path / "saved", num_shards={"train": 2, "validation": 1})
    for kind in ("parquet", "saved"):
        assert decoded(tmp_path / kind, "huggingface", classes=CLASSES) == {
            "train": {"0": [[0, 255]], "1": [[1, 255]], "2": [[0, 255]]},
            "val": {"0": [[1, 255]]},
        }


def test_images_may_be_files_of_their_own_and_a_share_is_held_out(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = []
    for number in range(10):
        Image.new("RGB", (2, 1)).save(folder / f"{number}.jpg")
        Image.fromarray(np.array([[number % 2, 255]], np.uint8)).save(folder / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.jpg", "mask_file_name": f"{number}.png"}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    found = decoded(folder, "huggingface", classes=CLASSES)
    assert {split: len(samples) for split, samples in found.items()} == {"train": 8, "val": 2}
    assert sorted((found["train"] | found["val"]).items()) == [(f"{n}", [[n % 2, 255]]) for n in range(10)]
    assert reader("huggingface")(folder)["train"][0].image.endswith("/set/0.jpg")


def test_classes_are_those_of_the_features(tmp_path):
    label = datasets.ClassLabel(names=["sky", "road", "car"])
    scene = datasets.ClassLabel(names=["city", "field"])
    listed = getattr(datasets, "List", datasets.Sequence)(label)
    rows = table(0, 1, scene=(scene, [0, 1]), objects=(listed, [[0], [1, 2]]))
    rows.save_to_disk(tmp_path / "set")
    layers = [f"data.root={tmp_path / 'set'}", "data.format=huggingface"]
    assert load_config(layers).data.class_names == ["sky", "road", "car"]
    assert load_config([*layers, "data.classes_column=scene"]).data.class_names == ["city", "field"]
    assert load_config([*layers, "data.classes=[a, b]"]).data.class_names == ["a", "b"]


def test_columns_are_found_or_asked_for(tmp_path):
    rows = table(0, 1, depth=(datasets.Image(), [Image.new("L", (2, 1))] * 2))
    rows = rows.rename_columns({"image": "photo", "annotation": "truth"})
    rows.save_to_disk(tmp_path / "set")
    read = reader("huggingface")
    assert error_of(read, tmp_path / "set") == (
        "data.root: R has these image columns: photo, truth, depth; write data.image_column and data.mask_column"
    )
    columns = {"image_column": "photo", "mask_column": "truth"}
    assert len(read(tmp_path / "set", val_fraction=0.5, **columns)["train"]) == 1
    assert error_of(read, tmp_path / "set", mask_column="mask") == (
        "data.mask_column: R has no image column mask; it has: photo, truth, depth; other columns: none"
    )
    table(0).map(lambda _: {"annotation": None}).save_to_disk(tmp_path / "empty")
    assert error_of(read, tmp_path / "empty") == "R: train, row 0: has no annotation"
    assert error_of(read, tmp_path / "nowhere").startswith(
        "data.root: R is not a local folder, and as a dataset of the Hugging Face hub it cannot be loaded: "
    )
