import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from segtrain.checkpoint import save_checkpoint
from segtrain.commands.export.model_card import describe_start
from segtrain.config.schema import ModelConfig
from segtrain.inference.predictor import Predictor
from tests.commands.export.hub_export import CAMVID, MODEL, export, train

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def run_card(folder: Path, image: np.ndarray, tmp_path: Path, monkeypatch) -> torch.Tensor:
    """What the first piece of code in the card calls labels."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    if "image.png" in code:
        Image.fromarray(image).save("image.png")
    np.save("image.npy", image)
    names: dict = {}
    exec(code.replace("path/to/this/folder", str(folder)), names)
    return names["labels"]


LAYERS = {
    "root": "data",
    "classes": ["a|b", "c"],
    "multilabel": True,
    "channels": 5,
    "bands": [5, 4, 3, 2, 1],
    "scale": 4095,
    "folds": 3,
    "fold": 1,
    "images": {"train": "i"},
    "masks": {"train": "m"},
}
SMALLER = {"Resize": {"height": 48, "width": 80}}
SETS = {
    "classes": ({**CAMVID}, []),
    "resized": ({**CAMVID}, [SMALLER]),
    "binary": ({"root": "data", "classes": ["crack"]}, ["CLAHE"]),
    "layers": ({"root": "data", "classes": ["ring", "disc"], "multilabel": True}, []),
    "bands": ({"root": "data", "classes": ["a", "b"], "channels": 5, "bands": [5, 4, 3, 2, 1], "scale": 10000}, []),
}


@pytest.mark.parametrize("kind", SETS)
def test_the_code_in_the_card_gives_the_labels_of_the_predictor(tmp_path, monkeypatch, kind):
    data, val = SETS[kind]
    run = train(tmp_path / "run", data=data, val=val)
    channels = data.get("channels", 3)
    image = np.random.default_rng(1).integers(0, 256, (50, 70, channels), dtype=np.uint8)
    image = image.astype(np.float32) / 255 if "scale" in data else image
    labels = run_card(export(run, tmp_path / "hub"), image, tmp_path, monkeypatch)
    for source in (run, tmp_path / "hub"):
        expected = Predictor.load(source, device="cpu").predict(image)
        assert np.array_equal(labels, expected) and len(np.unique(expected)) > 1


def test_thresholds_that_were_tuned_go_along(tmp_path, monkeypatch):
    run = train(tmp_path / "run", data={"root": "data", "classes": ["crack"]})
    (run / "best.thresholds.json").write_text('{"epoch": 7, "thresholds": {"crack": 0.25}}')
    folder = export(run, tmp_path / "hub")
    assert Predictor.load(folder, device="cpu").task.thresholds == [0.25]
    card, note = (folder / "README.md").read_text(), "With thresholds of 0.5: those below were tuned later."
    assert "| 0 | background | 60 60 60 | - | - |\n| 1 | crack | 102 68 221 | - | 0.25 |" in card and note in card
    labels = run_card(folder, IMAGE, tmp_path, monkeypatch)
    assert np.array_equal(labels, Predictor.load(run, device="cpu").predict(IMAGE))
    (run / "best.thresholds.json").unlink()
    assert note not in (export(run, tmp_path / "plain") / "README.md").read_text()


@pytest.mark.parametrize(("name", "encoder"), [("DPT", "tu-vit_tiny_patch16_224"), ("PAN", "tu-resnet10t")])
def test_architectures_with_rules_of_their_own(tmp_path, monkeypatch, name, encoder):
    run = train(tmp_path / "run", data=CAMVID, model={"name": name, "encoder_name": encoder})
    labels = run_card(export(run, tmp_path / "hub"), IMAGE[:50, :70], tmp_path, monkeypatch)
    assert np.array_equal(labels, Predictor.load(run, device="cpu").predict(IMAGE[:50, :70]))


@pytest.mark.parametrize(
    ("name", "data", "val", "license"),
    [("camvid", CAMVID, [], "cc-by-4.0"), ("layers", LAYERS, [SMALLER], None)],
)
def test_the_card(tmp_path, name, data, val, license):
    run = train(tmp_path / "run", data=data, val=val)
    if name == "layers":
        (run / "best.thresholds.json").write_text('{"epoch": 7, "thresholds": {"a|b": 0.25, "c": 0.5}}')
    card = (export(run, tmp_path / "hub", license=license) / "README.md").read_text()
    assert card == Path(__file__).with_name(f"card_{name}.md").read_text()


def test_data_of_ones_own_in_the_format_of_a_published_set(tmp_path):
    data = {"format": "voc", "root": "data", "classes": ["background", "ring"]}
    card = (export(train(tmp_path / "run", data=data), tmp_path / "hub") / "README.md").read_text()
    assert "2 classes of its authors' own data." in card and "PASCAL" not in card and "Flickr" not in card


def test_some_classes_of_a_published_set_are_not_the_set(tmp_path):
    data = {"format": "cityscapes", "root": "data", "classes": ["road", "car"]}
    card = (export(train(tmp_path / "run", data=data), tmp_path / "hub") / "README.md").read_text()
    assert "2 classes of its authors' own data, in the format of Cityscapes. Unet" in card
    assert "## Data\n\nThe authors' own data, in the format of Cityscapes. Trained on the split `train`" in card
    for claim in ("published with", "2975", "The data that they were trained on", "name: Cityscapes"):
        assert claim not in card


def test_a_card_without_a_score_or_a_license(tmp_path):
    run = train(tmp_path / "run", data={"root": "data", "classes": ["a|b", "c"]})
    content = torch.load(run / "best.pt")
    save_checkpoint(run / "best.pt", {key: content[key] for key in ("config", "model")})
    _, head, body = (export(run, tmp_path / "hub") / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head).keys() == {"library_name", "pipeline_tag", "tags"}
    assert "## Score\n\nThe checkpoint contains no scores.\n" in body and "| 0 | a\\|b | 102 68 221 | - |" in body
    assert "The weights: not specified by their authors. The code of segtrain" in body


STARTS = [
    ({}, "", "random"),
    ({"encoder_weights": "imagenet"}, "timm/x.a1_in1k, license mit", "timm/x.a1_in1k, license mit"),
    ({"encoder_weights": "imagenet"}, "", "imagenet"),  # a run from before origins were kept
    ({"encoder_weights": "/home/somebody/x.pth"}, "9 tensors of /home/somebody/x.pth", "a local file"),
    ({"weights": "/home/somebody/runs/street-1"}, "Unet of /home/somebody", "a complete network, street-1"),
    ({"weights": "smp-hub/segformer-b0"}, "Segformer", "a complete network, segformer-b0"),
]


@pytest.mark.parametrize(("model", "origin", "told"), STARTS)
def test_what_training_began_with_without_paths_of_this_computer(model, origin, told):
    config = ModelConfig.model_validate(MODEL | model)
    assert describe_start(config, origin) == told
