from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_model import tiny_model

from segtrain.errors import DataError
from segtrain.experiment import Config
from segtrain.infer import Predictor
from segtrain.infer.network import TorchNetwork
from segtrain.prediction.files import find_images, predict_files


@pytest.fixture
def predictor() -> Predictor:
    classes = [{"name": "sky", "color": [10, 20, 30]}, {"name": "road", "color": [200, 0, 0]}]
    config = Config.model_validate({"data": {"root": "data", "classes": classes}})
    return Predictor([TorchNetwork(tiny_model(), config, device=torch.device("cpu"), dtype=torch.float32)])


def draw(path: Path, height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    """Write a random RGB picture; what a reader of the file sees comes back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return np.asarray(Image.open(path).convert("RGB"))


def found(*inputs, output: Path) -> dict[str, str]:
    images = find_images([str(item) for item in inputs], output=output)
    return {path.name: name.as_posix() for path, name in images.items()}


def missing(*inputs, output: Path) -> str:
    with pytest.raises(DataError) as error:
        find_images([str(item) for item in inputs], output=output)
    return str(error.value)


def test_a_folder_is_searched_through(tmp_path):
    for name in ("a.png", "sub/b.JPG", "sub/deeper/c.tiff", "a.b.webp"):
        draw(tmp_path / "in" / name)
    for name in ("notes.txt", ".hidden.png", "sub/table.csv"):
        (tmp_path / "in" / name).write_text("x")
    expected = {"a.png": "a", "b.JPG": "sub/b", "c.tiff": "sub/deeper/c", "a.b.webp": "a.b"}
    assert found(tmp_path / "in", output=tmp_path / "out") == expected


def test_files_and_globs(tmp_path):
    for name in ("1.png", "2.png", "2.jpg", "more/3.png"):
        draw(tmp_path / name)
    out = tmp_path / "out"
    assert found(tmp_path / "1.png", output=out) == {"1.png": "1"}
    assert found(tmp_path / "*.png", output=out) == {"1.png": "1", "2.png": "2"}
    assert found(tmp_path / "**/*.png", output=out) == {"1.png": "1", "2.png": "2", "3.png": "3"}
    assert found(tmp_path / "1.png", tmp_path / "more", output=out) == {"1.png": "1", "3.png": "3"}
    assert found(tmp_path / "1.png", tmp_path / "*.png", output=out) == {"1.png": "1", "2.png": "2"}
    draw(tmp_path / "[x].png")
    assert found(tmp_path / "[x].png", output=out) == {"[x].png": "[x]"}  # a file, although it reads like a glob


def test_an_output_folder_inside_the_input_is_left_out(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "out" / "a.png")
    draw(tmp_path / "out" / "sub" / "a_color.png")
    assert found(tmp_path, output=tmp_path / "out") == {"a.png": "a"}


def test_an_output_folder_around_the_input_is_named(tmp_path):
    draw(tmp_path / "images" / "a.png")
    for item in (tmp_path / "images", tmp_path / "images" / "a.png"):
        expected = f"{item}: its images lie in the output folder {tmp_path}; write -o another folder"
        assert missing(item, output=tmp_path) == expected


def test_two_images_with_one_name(tmp_path):
    for name in ("2.png", "2.jpg", "more/2.png"):
        draw(tmp_path / name)
    out, one, other = tmp_path / "out", tmp_path / "2.jpg", tmp_path / "2.png"
    expected = f"{one} and {other} would both be written to {out / '2.png'}; predict them apart"
    assert missing(tmp_path, output=out) == expected
    other = tmp_path / "more" / "2.png"
    expected = f"{one} and {other} would both be written to {out / '2.png'}; predict them apart"
    assert missing(one, other, output=out) == expected


def test_inputs_without_an_image(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    known = "known suffixes: .bmp .gif .jpeg .jpg .npy .pgm .png .ppm .tif .tiff .webp"
    for item in ("empty", "notes.txt", "*.png"):
        assert missing(tmp_path / item, output=tmp_path) == f"{tmp_path / item}: no images there; {known}"
    expected = f"images: {tmp_path / 'gone'} does not exist; {tmp_path} holds: empty, notes.txt"
    assert missing(tmp_path / "gone", output=tmp_path) == expected


def test_three_files_for_each_image_at_its_own_size(tmp_path, predictor, capsys):
    images = {
        "a": draw(tmp_path / "in/a.png", 20, 30),
        "sub/b.c": draw(tmp_path / "in/sub/b.c.jpg", 41, 17, seed=1),
        "d": draw(tmp_path / "in/d.bmp", 33, 64, seed=2),
    }
    out = tmp_path / "out"
    predict_files(predictor, find_images([str(tmp_path / "in")], output=out), out)
    assert capsys.readouterr().out == f"3 images predicted, written to {out}\n"
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {f"{name}{kind}.png" for name in images for kind in ("", "_color", "_overlay")}
    colors = np.array([[10, 20, 30], [200, 0, 0]], np.uint8)
    for name, image in images.items():
        index, color, overlay = (Image.open(out / f"{name}{kind}.png") for kind in ("", "_color", "_overlay"))
        prediction = predictor.predict(image)
        assert set(np.unique(prediction)) == {0, 1}
        assert index.mode == "L" and np.array_equal(np.asarray(index), prediction)
        assert np.array_equal(np.asarray(color), colors[prediction])
        assert overlay.size == (image.shape[1], image.shape[0]) and overlay.mode == "RGB"
        assert not np.array_equal(np.asarray(overlay), image)


def test_a_broken_image_is_named_and_the_others_are_predicted(tmp_path, predictor):
    for name in "abc":
        draw(tmp_path / "in" / f"{name}.png")
    broken = tmp_path / "in" / "b.png"
    broken.write_bytes(broken.read_bytes()[:400])
    (tmp_path / "in" / "d.jpg").write_text("no picture")
    out = tmp_path / "out"
    with pytest.raises(DataError) as error:
        predict_files(predictor, find_images([str(tmp_path / "in")], output=out), out)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{broken}: ") and second.startswith(f"{tmp_path / 'in' / 'd.jpg'}: ")
    assert sorted(path.name for path in out.glob("?.png")) == ["a.png", "c.png"]


def test_an_output_that_cannot_be_written(tmp_path, predictor):
    draw(tmp_path / "a.png")
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises(DataError) as error:
        predict_files(predictor, find_images([str(tmp_path / "a.png")], output=out), out)
    assert str(error.value).startswith(f"{out / 'a'}: cannot be written: ")
