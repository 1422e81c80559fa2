"""From a prediction back to an experiment: `init` of predictions for labeling tools."""

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.commands.check import experiment
from segtrain.config.rules import load_config
from segtrain.data.labels import LabelDecoder
from segtrain.data.splits import read_splits
from tests.commands.predict.predicting import run
from tests.painted import TASK, paint, random_classes

NUMBER = 10


@pytest.fixture(autouse=True)
def predicted(monkeypatch, tmp_path):
    """labels[i], HW class indices, of the images in walk/, predicted to out/ in the current folder."""
    machine = {"gpu": False, "free_bytes": 8 << 30, "pretrained": False}
    monkeypatch.setattr(experiment, "look_at_machine", lambda: machine)
    monkeypatch.chdir(tmp_path)
    labels = [random_classes(seed, 48, 64) for seed in range(NUMBER)]
    for index, mask in enumerate(labels):
        paint(tmp_path / "walk" / f"sub/{index}.png", mask)
    return labels


@pytest.mark.parametrize(
    ("kinds", "given"),
    [
        ("index,cvat", ["out"]),  # the PNGs beside annotations.xml are not its images
        ("cvat", ["walk", "out/annotations.xml"]),
        ("cvat", ["out/annotations.xml", "walk"]),
        ("coco", ["out"]),
        ("coco-rle", ["walk", "out/coco_rle.json"]),
        ("labelme", ["out"]),
    ],
)
def test_predictions_are_masks_again_with_the_same_classes(kinds, given, predicted, tmp_path, capsys):
    run(tmp_path / "walk", tmp_path / "out", kinds=kinds.split(","))
    assert segtrain(["init", *given, "-o", "mine.yml"]) == 0, capsys.readouterr().err
    config = load_config(["mine.yml"])
    names = config.data.class_names
    assert names == (TASK.names if kinds != "labelme" else sorted(TASK.names))  # labelme has no list of labels
    decoder, found = LabelDecoder(config.data), {}
    for samples in read_splits(config.data, seed=config.seed).values():
        for sample in samples:
            assert sample.image.startswith("walk/") or sample.image.startswith(str(tmp_path / "walk"))
            found[int(sample.name.rpartition("/")[2].removesuffix(".png"))] = np.array(names)[decoder.read(sample)]
    assert sorted(found) == [*range(NUMBER)]
    assert all(np.array_equal(found[index], np.array(TASK.names)[predicted[index]]) for index in found)


def test_without_the_images_it_says_what_to_give(predicted, tmp_path, capsys):
    run(tmp_path / "walk", tmp_path / "out", kinds=["cvat"])
    (tmp_path / "walk").rename(tmp_path / "moved")
    assert segtrain(["init", "out", "-o", "mine.yml"]) == 2
    said = "the images listed in out/manifest.csv do not exist; add their folder: python -m segtrain init "
    assert capsys.readouterr().err == f"out/annotations.xml: {said}out/annotations.xml IMAGES\n"
    assert segtrain(["init", "out/annotations.xml", "moved", "-o", "mine.yml"]) == 0
