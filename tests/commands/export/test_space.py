import numpy as np
import pytest
import yaml
from PIL import Image

from segtrain.commands.export import space
from segtrain.commands.export.graph import ExportError
from segtrain.commands.export.space.app import LARGEST_SIDE_PX, LabelModel, annotate
from segtrain.inference.predictor import Predictor
from tests.commands.export.exporting import images_of, options_of, tiny_network

IMAGE = images_of(1, 45, 70)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    "network",
    [tiny_network(), tiny_network(1), tiny_network(2, multilabel=True)],
    ids=lambda network: network.task.mode,
)
def test_the_app_gives_the_labels_of_the_predictor(tmp_path, network):
    space.export(network, tmp_path / "space", options_of())
    names = ["README.md", "app.py", "model.onnx", "requirements.txt"]
    assert sorted(file.name for file in (tmp_path / "space").iterdir()) == names
    model = LabelModel(tmp_path / "space" / "model.onnx")
    picture, labels = Image.fromarray(IMAGE), Predictor([network]).predict(IMAGE)
    assert np.array_equal(model.predict_labels(picture), labels)
    (shown, masks), shares = annotate(picture, model)
    assert shown.size == (70, 45) and model.colors[-1] == "#{:02x}{:02x}{:02x}".format(*network.task.colors[-1])
    overlapping = network.task.mode == "multilabel"
    assert shares == {
        name: float((labels[index] == 1 if overlapping else labels == index).mean())
        for index, name in enumerate(network.task.names)
    }
    assert [name for _, name in masks] == network.task.names[1 if network.task.mode == "binary" else 0 :]


def test_large_images_are_reduced_and_none_is_no_error(tmp_path):
    space.export(tiny_network(), tmp_path / "space", options_of())
    model = LabelModel(tmp_path / "space" / "model.onnx")
    (shown, _), shares = annotate(Image.new("RGB", (2 * LARGEST_SIDE_PX, 64)), model)
    assert shown.size == (LARGEST_SIDE_PX, 32) and sum(shares.values()) == pytest.approx(1)
    assert annotate(None, model) == (None, {})


@pytest.mark.parametrize(
    ("network", "options", "says"),
    [
        (tiny_network(), {"size": (64, 64)}, "--to space accepts images of any size: remove --size"),
        (
            tiny_network(channels=5),
            {},
            "--to space supports 8-bit grayscale or RGB images, but this model needs others (channels 5): write --to "
            "onnx, and prepare the images in your own app",
        ),
        (
            tiny_network(scale=10000.0),
            {},
            "--to space supports 8-bit grayscale or RGB images, but this model needs others (channels 3, scale "
            "10000.0): write --to onnx, and prepare the images in your own app",
        ),
    ],
)
def test_what_a_page_cannot_show(tmp_path, network, options, says):
    with pytest.raises(ExportError) as error:
        space.export(network, tmp_path / "space", options_of(**options))
    assert str(error.value) == says and not (tmp_path / "space").exists()


def test_odd_names_in_the_readme():
    title, license = 'a: "b" # ü 🚗', "cc-by-4.0"
    text = space.write_readme(title, ['say "hi"', "Straße", "two\nlines", "🚗"], license)
    _, header, body = text.split("---\n", 2)
    settings = yaml.safe_load(header)
    assert settings["title"] == title and settings["license"] == license
    assert (settings["sdk"], settings["app_file"]) == ("gradio", "app.py")
    assert 'the classes are say "hi", Straße, two lines, 🚗.' in body
